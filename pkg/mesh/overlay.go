package mesh

import (
	"maps"
	"slices"
)

// overlay is what differs from the snapshot below: whole lists, and single objects, of
// which nil stands for one that is gone.
type overlay struct {
	byNamespace map[objectKey][]*Object
	byKey       map[objectKey]*Object
}

// With returns a snapshot with objects put on top: they take the place of those of the
// same name, with the time of creation and the uid that the server keeps, and the rest
// stays. An object with a metadata.deletionTimestamp is taken away instead. Two
// different ones of one name among them are an *InputError, and so is one to be taken
// away that is not there. The snapshot shares what did not change.
func (s *Snapshot) With(objects []*Object) (*Snapshot, error) {
	given := map[objectKey]*Object{}
	out := s.layer()
	for _, o := range objects {
		key := keyOf(o)
		if first, twice := given[key]; twice && o.Name != "" {
			if err := checkSame(first, o); err != nil {
				return nil, err
			}
			continue
		}
		given[key] = o
		old := s.Find(key.group, key.kind, key.namespace, key.name)
		deleted, err := o.Deleted()
		switch {
		case err != nil:
			return nil, err
		case deleted && old == nil:
			return nil, &InputError{
				File: o.Position.File, Line: o.Position.Line, Object: o.Ref().String(), Field: "metadata.deletionTimestamp",
				Problem: "is to be taken away, and there is no such object",
				Hint:    "look at its name and namespace",
			}
		case deleted:
			out.put(key, old, nil)
		default:
			out.put(key, old, o.inPlaceOf(old))
		}
	}
	return out, nil
}

// layer is a snapshot that says the same and may be changed.
func (s *Snapshot) layer() *Snapshot {
	out := *s
	out.byKind, out.unknown = maps.Clone(s.byKind), maps.Clone(s.unknown)
	out.over = &overlay{byNamespace: map[objectKey][]*Object{}, byKey: map[objectKey]*Object{}}
	if s.over != nil {
		maps.Copy(out.over.byNamespace, s.over.byNamespace)
		maps.Copy(out.over.byKey, s.over.byKey)
	}
	return &out
}

// put exchanges an object for another; either may be nil.
func (s *Snapshot) put(key objectKey, old, o *Object) {
	kind := groupKind{key.group, key.kind}
	s.byKind[kind] = exchanged(s.byKind[kind], old, o)
	list := s.InNamespace(key.group, key.kind, key.namespace)
	in := key
	in.name = ""
	s.over.byNamespace[in] = exchanged(list, old, o)
	s.over.byKey[key] = o
	n := 0
	if o != nil {
		n++
	}
	if old != nil {
		n--
	}
	s.count += n
	if isMeshGroup(key.group) {
		s.mesh += n
	}
	if !isKnown(key.group, key.kind) {
		s.unknown[kindName(key.group, key.kind)] += n
	}
}

// exchanged is a list in istiod's order with one object for another.
func exchanged(list []*Object, old, o *Object) []*Object {
	out := make([]*Object, 0, len(list)+1)
	for _, have := range list {
		if have != old || old == nil {
			out = append(out, have)
		}
	}
	if o == nil {
		return out
	}
	at, _ := slices.BinarySearchFunc(out, o, byCreation)
	return slices.Insert(out, at, o)
}

// Deleted reports whether the object says of itself that it is to go, as one does that
// the API server is about to take away.
func (o *Object) Deleted() (bool, error) {
	var head struct {
		Metadata struct {
			DeletionTimestamp string `json:"deletionTimestamp"`
		} `json:"metadata"`
	}
	if err := o.Decode(&head); err != nil {
		return false, err
	}
	return head.Metadata.DeletionTimestamp != "", nil
}

// inPlaceOf is the object as the server has it once it has replaced another: what
// the server alone sets stays.
func (o *Object) inPlaceOf(old *Object) *Object {
	if old == nil || old.Created == o.Created && old.UID == o.UID {
		return o
	}
	return &Object{
		APIVersion: o.APIVersion, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, UID: old.UID, Created: old.Created,
		Labels: o.Labels, Annotations: o.Annotations, Position: o.Position,
		raw: o.raw, first: o.first, isJSON: o.isJSON, dashed: o.dashed,
	}
}
