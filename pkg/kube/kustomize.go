package kube

import (
	"os"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// kustomize builds a kustomization as kubectl -k does, and reads the result, whose
// positions are lines of what was built.
func (r *reader) kustomize(folder string) error {
	if info, err := os.Stat(folder); err != nil {
		return readError(folder, err)
	} else if !info.IsDir() {
		return &InputError{File: folder, Problem: "is a file; -k wants a folder", Hint: "name the folder that has the kustomization.yaml, or give the file with -f"}
	}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy
	built, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return kustomizeError(folder, err)
	}
	text, err := built.AsYaml()
	if err != nil {
		return kustomizeError(folder, err)
	}
	return r.parse(folder+" (kustomize build)", text)
}

func kustomizeError(folder string, err error) error {
	return &InputError{
		File: folder, Problem: "kustomize cannot build it: " + strings.Join(strings.Fields(err.Error()), " "),
		Hint: "kubectl kustomize " + folder + " shows the same error", Err: err,
	}
}
