package kube

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// path reads a file or a folder.
func (r *reader) path(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return readError(name, err)
	}
	if !info.IsDir() {
		return r.file(name)
	}
	found, below, err := r.folder(name, nil)
	if err != nil {
		return err
	}
	if found > 0 {
		return nil
	}
	e := &InputError{File: name, Problem: "is a folder without any .yaml, .yml or .json file", Hint: "name a folder that has manifests"}
	if below && !r.opts.Recursive {
		e.Hint = "there are folders in it: -R reads those too"
	}
	return e
}

// folder reads the manifests of a folder by name, and those below it where that was
// asked for; within are the real paths of the folders around it. It counts the files
// and tells whether there are folders in it.
func (r *reader) folder(name string, within []string) (files int, below bool, err error) {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return 0, false, readError(name, err)
	}
	if real, err = filepath.Abs(real); err != nil {
		return 0, false, readError(name, err)
	}
	if slices.Contains(within, real) {
		return 0, false, nil // a link back to a folder around this one
	}
	entries, err := os.ReadDir(name) // sorted by name
	if err != nil {
		return 0, false, readError(name, err)
	}
	for _, entry := range entries {
		path := filepath.Join(name, entry.Name())
		info, err := os.Stat(path) // of what a link leads to
		switch {
		case err != nil && isManifest(path):
			return files, below, readError(path, err)
		case err != nil:
			continue // a broken link to something that is no manifest
		case info.IsDir():
			below = true
			if r.opts.Recursive {
				n, _, err := r.folder(path, append(within[:len(within):len(within)], real))
				if err != nil {
					return files, below, err
				}
				files += n
			}
		case isManifest(path):
			files++
			if err := r.file(path); err != nil {
				return files, below, err
			}
		}
	}
	return files, below, nil
}

// isManifest goes by the end of the name, as kubectl does; the plan of a kustomization
// is not applied itself, and may lack apiVersion and kind.
func isManifest(path string) bool {
	switch filepath.Base(path) {
	case "kustomization.yaml", "kustomization.yml":
		return false
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

func (r *reader) file(name string) (err error) {
	if err := r.ctx.Err(); err != nil {
		return readError(name, err)
	}
	info, err := os.Stat(name)
	if err != nil {
		return readError(name, err)
	}
	if info.Size() > maxSize {
		return tooLarge(name, maxSize)
	}
	if info.Mode().IsRegular() {
		data, err := os.ReadFile(name)
		if err != nil {
			return readError(name, err)
		}
		return r.parse(name, data)
	}
	f, err := os.Open(name) // a pipe, as the shell's <(...) gives
	if err != nil {
		return readError(name, err)
	}
	data, err := readAll(name, f)
	_ = f.Close() // it was read only
	if err != nil {
		return err
	}
	return r.parse(name, data)
}

// readError says in a word why something could not be read.
func readError(name string, err error) error {
	e := &InputError{File: showName(name), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Problem, e.Hint = "does not exist", "look at the spelling; relative names count from the folder that you are in"
	case errors.Is(err, fs.ErrPermission):
		e.Problem, e.Hint = "may not be read: permission denied", "give yourself the right to read it"
	case errors.Is(err, syscall.ELOOP):
		e.Problem, e.Hint = "is a link that leads back to itself", "remove the link, or name the file that is meant"
	default:
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		e.Problem, e.Hint = "cannot be read: "+err.Error(), "see whether it can be read with cat"
	}
	return e
}
