package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// read renders the objects that options give, or the error with its hint.
func read(t *testing.T, opts FileOptions) string {
	t.Helper()
	objects, err := ReadObjects(context.Background(), opts)
	if err != nil {
		var input *InputError
		if !errors.As(err, &input) {
			t.Fatalf("not an InputError: %v", err)
		}
		return input.Error() + "\nhint: " + input.HintLine()
	}
	var out []string
	for _, o := range objects {
		out = append(out, fmt.Sprintf("%s (%s)", o.Ref(), o.Position))
	}
	return strings.Join(out, "\n")
}

func TestReadObjects_ReadsFilesFoldersAndStandardInput(t *testing.T) {
	const policy = "AuthorizationPolicy default/deny-all (testdata/shop/b-policy.yaml:1)"
	for _, tc := range []struct {
		name string
		opts FileOptions
		want string
	}{
		{"a file", FileOptions{Filenames: []string{"testdata/shop/b-policy.yaml"}}, policy},
		{"a folder, by name", FileOptions{Filenames: []string{"testdata/shop"}},
			"Service default/web (testdata/shop/a-web.yml:1)\n" + policy + "\nNamespace shop (testdata/shop/c-namespace.json:1)"},
		{"folders within", FileOptions{Filenames: []string{"testdata/shop"}, Recursive: true},
			"Service default/web (testdata/shop/a-web.yml:1)\n" + policy + "\nNamespace shop (testdata/shop/c-namespace.json:1)\nPeerAuthentication default/default (testdata/shop/more/d-peer.yaml:1)"},
		{"a folder and a file of it", FileOptions{Filenames: []string{"testdata/shop/more/", "testdata/shop/b-policy.yaml"}, Namespace: "x"},
			"PeerAuthentication x/default (testdata/shop/more/d-peer.yaml:1)\nAuthorizationPolicy x/deny-all (testdata/shop/b-policy.yaml:1)"},
		{"standard input", FileOptions{Filenames: []string{"-"}, Stdin: strings.NewReader("\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n")}, "Pod default/a (standard input:2)"},
		{"a kustomization", FileOptions{Kustomize: "testdata/kustom"}, "AuthorizationPolicy shop/prod-deny-all (testdata/kustom (kustomize build):1)"},
		{"a folder that holds a kustomization, with -f", FileOptions{Filenames: []string{"testdata/kustom"}}, "AuthorizationPolicy default/deny-all (testdata/kustom/policy.yaml:1)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := read(t, tc.opts); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestReadObjects_SaysWhatCannotBeRead(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts FileOptions
		want string
	}{
		{"nothing named", FileOptions{}, "no manifests were named\nhint: name a file or a folder with -f, or a kustomization with -k"},
		{"an empty name", FileOptions{Filenames: []string{""}}, "the name of a file is empty\nhint: name a file or a folder with -f; - is standard input"},
		{"a file that is not there", FileOptions{Filenames: []string{"testdata/nothing.yaml"}},
			"testdata/nothing.yaml: does not exist\nhint: look at the spelling; relative names count from the folder that you are in"},
		{"a folder without manifests", FileOptions{Filenames: []string{"testdata/none"}},
			"testdata/none: is a folder without any .yaml, .yml or .json file\nhint: name a folder that has manifests"},
		{"a folder with folders only", FileOptions{Filenames: []string{"testdata"}},
			"testdata: is a folder without any .yaml, .yml or .json file\nhint: there are folders in it: -R reads those too"},
		{"standard input twice", FileOptions{Filenames: []string{"-", "-"}, Stdin: strings.NewReader("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n")},
			"standard input: is named twice, and can be read once only\nhint: keep one -f -"},
		{"no standard input", FileOptions{Filenames: []string{"-"}}, "standard input: is not at hand\nhint: name a file with -f"},
		{"standard input with nothing in it", FileOptions{Filenames: []string{"-"}, Stdin: strings.NewReader("# none\n---\n")},
			"standard input: holds no Kubernetes object\nhint: every document is empty or a comment: give manifests, such as the output of kubectl get -o yaml"},
		{"a text without YAML", FileOptions{Filenames: []string{"testdata/none/README.md"}},
			"testdata/none/README.md:1: is text, not a Kubernetes object\nhint: a manifest begins with apiVersion and kind"},
		{"a file for -k", FileOptions{Kustomize: "testdata/kustom/policy.yaml"},
			"testdata/kustom/policy.yaml: is a file; -k wants a folder\nhint: name the folder that has the kustomization.yaml, or give the file with -f"},
		{"a kustomization that is not there", FileOptions{Kustomize: "testdata/nowhere"},
			"testdata/nowhere: does not exist\nhint: look at the spelling; relative names count from the folder that you are in"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := read(t, tc.opts); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
	got := read(t, FileOptions{Kustomize: "testdata/shop"})
	if !strings.HasPrefix(got, "testdata/shop: kustomize cannot build it: ") || !strings.HasSuffix(got, "\nhint: kubectl kustomize testdata/shop shows the same error") {
		t.Errorf("a folder without a kustomization: %s", got)
	}
}

func TestFromFiles_GivesASnapshotThatKnowsWhetherThereIsAMesh(t *testing.T) {
	s, err := FromFiles(context.Background(), FileOptions{Filenames: []string{"testdata/shop", "testdata/shop"}, Recursive: true})
	if err != nil || s.Len() != 4 || s.MeshObjects() != 2 {
		t.Fatalf("%v %v", s, err)
	}
	s, err = FromFiles(context.Background(), FileOptions{Filenames: []string{"testdata/shop/a-web.yml"}})
	if err != nil || s.MeshObjects() != 0 {
		t.Fatalf("%v %v", s, err)
	}
}

func TestFromFiles_RefusesTwoDifferentObjectsOfOneNameWithBothPlaces(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\nspec:\n  type: NodePort\n")
	write(t, filepath.Join(dir, "b.yaml"), "\napiVersion: v1\nkind: Service\nmetadata:\n  name: s\nspec:\n  type: ClusterIP\n")
	_, err := FromFiles(context.Background(), FileOptions{Filenames: []string{dir}})
	want := fmt.Sprintf("%s/b.yaml:2: Service default/s: spec.type: is defined twice and differently, first at %s/a.yaml:1", dir, dir)
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestReadObjects_ComesBackFromLoopsOfLinks(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(sub, "a.yaml"), "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n")
	for _, link := range [][2]string{{dir, "up"}, {".", "self"}, {"missing", "broken"}} {
		if err := os.Symlink(link[0], filepath.Join(sub, link[1])); err != nil {
			t.Fatal(err)
		}
	}
	objects, err := ReadObjects(context.Background(), FileOptions{Filenames: []string{dir}, Recursive: true})
	if err != nil || len(objects) != 1 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	loop := filepath.Join(dir, "loop.yaml")
	if err := os.Symlink("loop.yaml", loop); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, FileOptions{Filenames: []string{loop}}), loop+": is a link that leads back to itself\nhint: remove the link, or name the file that is meant"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestReadObjects_RefusesWhatIsTooLarge(t *testing.T) {
	if _, err := readUpTo("f", strings.NewReader(strings.Repeat("x", 11)), 10); err == nil || !strings.Contains(err.Error(), "f: is larger than") {
		t.Errorf("a stream of 11 where 10 are allowed: %v", err)
	}
	if data, err := readUpTo("f", strings.NewReader(strings.Repeat("x", 10)), 10); err != nil || len(data) != 10 {
		t.Errorf("a stream of 10 where 10 are allowed: %v", err)
	}
	huge := filepath.Join(t.TempDir(), "huge.yaml")
	write(t, huge, "")
	if err := os.Truncate(huge, maxSize+1); err != nil {
		t.Fatal(err)
	}
	want := huge + ": is larger than 256 MiB\nhint: give only the namespaces that matter, and without Secrets and ConfigMaps that the mesh does not read"
	if got := read(t, FileOptions{Filenames: []string{huge}}); got != want {
		t.Errorf("got %s", got)
	}
}

func TestReadObjects_StopsWhenItIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ReadObjects(ctx, FileOptions{Filenames: []string{"testdata/shop"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestReadObjects_ReadsPagesAndTellsNoSecretOfTheirAddress(t *testing.T) {
	const manifest = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/pod.yaml":
			_, _ = fmt.Fprint(w, manifest)
		case "/page":
			_, _ = fmt.Fprint(w, "\n<!doctype html><html></html>")
		case "/broken":
			_, _ = fmt.Fprint(w, "a: \"b")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	secret := strings.Replace(server.URL, "http://", "http://user:canary@", 1)
	for path, want := range map[string]string{
		"/pod.yaml?token=canary": "Pod default/a (URL/pod.yaml:1)",
		"/page?token=canary":     "URL/page: is an HTML page, not a manifest\nhint: give the address of the raw file (on GitHub, the button Raw leads there)",
		"/none?token=canary":     "URL/none: cannot be fetched: the server answers 404 Not Found\nhint: open it in a browser, or fetch it with curl and give the file",
		"/broken?token=canary":   "URL/broken:1: cannot be read as YAML: a quote that is opened here is never closed\nhint: close it; is the file whole?",
	} {
		got := strings.ReplaceAll(read(t, FileOptions{Filenames: []string{secret + path}}), server.URL, "URL")
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	server.Close()
	got := read(t, FileOptions{Filenames: []string{secret + "/pod.yaml?token=canary"}})
	if strings.Contains(got, "canary") || !strings.Contains(got, "cannot be fetched") {
		t.Errorf("a server that is gone: %s", got)
	}
	if got := read(t, FileOptions{Filenames: []string{"http://"}}); got != "http://: is no valid URL\nhint: write it as https://host/path" {
		t.Errorf("got %s", got)
	}
}

func TestReadError_PutsReasonsIntoWords(t *testing.T) {
	for err, want := range map[error]string{
		os.ErrPermission: "f: may not be read: permission denied",
		&os.PathError{Op: "read", Path: "f", Err: errors.New("input/output error")}: "f: cannot be read: input/output error",
	} {
		if got := readError("f", err); got.Error() != want || !errors.Is(got, err) {
			t.Errorf("got %v", got)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
