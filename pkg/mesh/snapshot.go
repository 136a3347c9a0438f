package mesh

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// groupKind names a kind whatever version it was read in.
type groupKind struct{ group, kind string }

// objectKey names an object whatever version it was read in.
type objectKey struct{ group, kind, namespace, name string }

func keyOf(o *Object) objectKey {
	return objectKey{o.Group(), o.Kind, o.Namespace, o.Name}
}

// Snapshot is all that was read of a mesh. It does not change.
type Snapshot struct {
	byKind      map[groupKind][]*Object
	count       int
	byNamespace map[objectKey][]*Object // the name is empty
	byKey       map[objectKey]*Object
	over        *overlay // what Put has laid on top of byNamespace and byKey
	gaps        []Gap
	unknown     map[string]int
	mesh        int
}

// NewSnapshot puts objects and gaps together. An object that was read twice counts
// once, also where the copies differ in status, bookkeeping of the server or served
// version; two different ones of one name are an *InputError with both places.
func NewSnapshot(objects []*Object, gaps []Gap) (*Snapshot, error) {
	s := &Snapshot{
		byKind:      map[groupKind][]*Object{},
		byNamespace: map[objectKey][]*Object{},
		byKey:       make(map[objectKey]*Object, len(objects)),
		gaps:        slices.Clone(gaps),
		unknown:     map[string]int{},
	}
	for _, o := range objects {
		key := keyOf(o)
		if o.Name == "" { // of a kind that is not known: only counted
			s.add(o, key)
			continue
		}
		if first, twice := s.byKey[key]; twice {
			if err := checkSame(first, o); err != nil {
				return nil, err
			}
			continue
		}
		s.byKey[key] = o
		s.add(o, key)
	}
	for _, list := range s.byKind {
		sortByCreation(list)
	}
	for _, list := range s.byNamespace {
		sortByCreation(list)
	}
	return s, nil
}

func (s *Snapshot) add(o *Object, key objectKey) {
	kind := groupKind{key.group, key.kind}
	s.byKind[kind] = append(s.byKind[kind], o)
	key.name = ""
	s.byNamespace[key] = append(s.byNamespace[key], o)
	s.count++
	if isMeshGroup(key.group) || key.group == GroupGateway {
		s.mesh++
	}
	if !isKnown(key.group, key.kind) {
		s.unknown[kindName(key.group, key.kind)]++
	}
}

// kindName is "Kind" or "Kind.group", as kubectl prints it.
func kindName(group, kind string) string {
	if group == GroupCore {
		return kind
	}
	return kind + "." + group
}

// sortByCreation sorts as istiod does, Istio pilot/pkg/model/config.go:
// configCompareByCreationTime. What has no time yet comes last: see Object.Age.
func sortByCreation(list []*Object) {
	slices.SortStableFunc(list, byCreation)
}

func byCreation(a, b *Object) int {
	return cmp.Or(
		cmp.Compare(a.Age(), b.Age()),
		strings.Compare(a.Name, b.Name),
		strings.Compare(a.Namespace, b.Namespace),
	)
}

// Kind returns the objects of a kind in istiod's order. The list is shared: do not change it.
func (s *Snapshot) Kind(group, kind string) []*Object {
	return s.byKind[groupKind{group, kind}]
}

// InNamespace returns the objects of a kind in one namespace, in istiod's order.
// The list is shared: do not change it.
func (s *Snapshot) InNamespace(group, kind, namespace string) []*Object {
	key := objectKey{group, kind, namespace, ""}
	if s.over != nil {
		if list, found := s.over.byNamespace[key]; found {
			return list
		}
	}
	return s.byNamespace[key]
}

// Find returns an object, or nil.
func (s *Snapshot) Find(group, kind, namespace, name string) *Object {
	key := objectKey{group, kind, namespace, name}
	if s.over != nil {
		if o, found := s.over.byKey[key]; found {
			return o
		}
	}
	return s.byKey[key]
}

// Gaps returns what could not be read.
func (s *Snapshot) Gaps() []Gap { return slices.Clone(s.gaps) }

// Unknown counts the objects of kinds that are not known, by "Kind.group".
func (s *Snapshot) Unknown() map[string]int {
	out := make(map[string]int, len(s.unknown))
	for kind, n := range s.unknown {
		out[kind] = n
	}
	return out
}

// Len is the number of objects, equal ones counted once.
func (s *Snapshot) Len() int { return s.count }

// MeshObjects is the number of objects that configure the mesh itself: those of
// Istio's groups, of ASM's and of the Gateway API. A folder that has none is most likely not the one meant.
func (s *Snapshot) MeshObjects() int { return s.mesh }

// Objects returns all objects, kind by kind, in istiod's order within a kind.
func (s *Snapshot) Objects() []*Object {
	kinds := make([]groupKind, 0, len(s.byKind))
	for kind := range s.byKind {
		kinds = append(kinds, kind)
	}
	slices.SortFunc(kinds, func(a, b groupKind) int {
		return cmp.Or(strings.Compare(a.group, b.group), strings.Compare(a.kind, b.kind))
	})
	out := make([]*Object, 0, len(s.byKey))
	for _, kind := range kinds {
		out = append(out, s.byKind[kind]...)
	}
	return out
}

// meshMentions reports whether a text stands in any object that configures the mesh.
func (s *Snapshot) meshMentions(text string) bool {
	for kind, list := range s.byKind {
		if !isMeshGroup(kind.group) {
			continue
		}
		for _, o := range list {
			if bytes.Contains(o.raw, []byte(text)) {
				return true
			}
		}
	}
	return false
}

// checkSame returns an error unless two objects of one name say the same.
func checkSame(first, second *Object) error {
	if first.isJSON == second.isJSON && bytes.Equal(first.raw, second.raw) {
		return nil
	}
	a, err := first.comparable()
	if err != nil {
		return err
	}
	b, err := second.comparable()
	if err != nil {
		return err
	}
	if reflect.DeepEqual(a, b) {
		return nil
	}
	return &InputError{
		File: second.Position.File, Line: second.Position.Line, Object: second.Ref().String(),
		Field:   firstDifference("", a, b),
		Problem: "is defined twice and differently, first at " + first.Position.String(),
		Hint:    "keep one of the two; to judge a change of an object that exists, give the new one with --what-if",
	}
}

// comparable is the object without what may differ between two readings of the
// same: status, the server's bookkeeping, and the version that it was served in.
func (o *Object) comparable() (map[string]any, error) {
	var all map[string]any
	data, err := o.JSON()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, o.decodeError("", err)
	}
	delete(all, "apiVersion")
	delete(all, "status")
	if metadata, ok := all["metadata"].(map[string]any); ok {
		delete(metadata, "managedFields")
		delete(metadata, "resourceVersion") // moves with every change of the status
		metadata["namespace"] = o.Namespace // written or implied, it is the same
	}
	return all, nil
}

// firstDifference is the path of a field in which two values differ.
func firstDifference(path string, a, b any) string {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return path
		}
		for _, key := range slices.Sorted(maps.Keys(union(x, y))) {
			if !reflect.DeepEqual(x[key], y[key]) {
				return firstDifference(joinField(path, key), x[key], y[key])
			}
		}
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return path
		}
		for i := range x {
			if !reflect.DeepEqual(x[i], y[i]) {
				return firstDifference(path+"["+strconv.Itoa(i)+"]", x[i], y[i])
			}
		}
	}
	return path
}

func union(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// joinField appends a key to a path, in quotes where it would not read back.
func joinField(path, key string) string {
	if strings.ContainsAny(key, `.[]"`) {
		return path + `["` + key + `"]`
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
