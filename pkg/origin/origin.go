// Package origin names places in Kubernetes objects: which object, and which
// field of it, something came from. It is the vocabulary that the halves of the
// core share, so that a proxy's model can say where each of its parts was
// written without knowing any Istio type.
//
// It imports the standard library only; every other package may import it.
package origin

import "strings"

// Ref names one object. Namespace is empty for what has none.
type Ref struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String renders the reference as "Kind namespace/name".
func (r Ref) String() string {
	if r.Kind == "" && r.Name == "" {
		return ""
	}
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

// IsZero reports whether the reference names nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// Origin is a field of an object. Field is written as kubectl explain and the
// API server write it, from the object's root: spec.rules[0].to[1].operation.paths[2].
// An empty Field means the object as a whole.
type Origin struct {
	Ref   `json:",inline"`
	Field string `json:"field,omitempty"`
}

// String renders the origin as "Kind namespace/name field".
func (o Origin) String() string {
	if o.Field == "" {
		return o.Ref.String()
	}
	return o.Ref.String() + " " + o.Field
}

// At returns the origin of a field below o: At("to[0]") of spec.rules[1] is spec.rules[1].to[0].
func (o Origin) At(field string) Origin {
	switch {
	case o.Field == "" || field == "":
		o.Field += field
	case strings.HasPrefix(field, "["):
		o.Field += field
	default:
		o.Field += "." + field
	}
	return o
}
