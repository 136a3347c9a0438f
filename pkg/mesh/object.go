package mesh

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"sync/atomic"

	"gopkg.in/yaml.v3"
	sigsjson "sigs.k8s.io/json"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
	"github.com/asmjwt/kubectl-asmjwt/pkg/origin"
)

// Object is one Kubernetes object as it was read. Its header is at hand; the rest
// stays bytes until somebody asks. It is not changed after it was made, and may be
// used by several goroutines.
type Object struct {
	APIVersion  string
	Kind        string
	Namespace   string // the default namespace where the object names none and its kind lives in one
	Name        string
	UID         string
	Created     int64 // seconds since the epoch; 0: not known
	Labels      map[string]string
	Annotations map[string]string
	Position    Position

	raw    []byte // YAML or JSON of this object alone
	first  int    // the file's line that line 1 of the text, or of the tree, is
	inSpec []byte // the spec alone, where the object is JSON and that was found
	isJSON bool
	dashed bool                      // the text begins with the dash of the item of a List that it was
	tree   atomic.Pointer[yaml.Node] // parsed when a line was first asked for
	json   atomic.Pointer[[]byte]    // made of YAML when it was first asked for
	spec   atomic.Pointer[decoded]   // read when it was first asked for
}

// Group is the API group, empty for the core.
func (o *Object) Group() string {
	group, _, found := strings.Cut(o.APIVersion, "/")
	if !found {
		return GroupCore
	}
	return group
}

// Ref names the object.
func (o *Object) Ref() origin.Ref {
	return origin.Ref{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
}

// FromServer reports whether an API server has seen the object: only it sets a uid.
func (o *Object) FromServer() bool { return o.UID != "" }

// JSON is the whole object as it was written, as JSON. YAML is read as kubectl
// reads it (sigs.k8s.io/yaml), so that yes, on and 010 mean what they mean there. It is
// everybody's, and must not be changed.
func (o *Object) JSON() ([]byte, error) {
	if o.isJSON {
		return o.raw, nil
	}
	if data := o.json.Load(); data != nil {
		return *data, nil
	}
	text := o.text()
	data, err := sigsyaml.YAMLToJSON(text)
	if err != nil {
		return nil, yamlError(Position{o.Position.File, o.first}, o.Ref().String(), text, err)
	}
	o.json.Store(&data)
	return data, nil
}

// Decode reads the whole object into a pointer; field names must fit in case too, as for
// kubectl.
func (o *Object) Decode(into any) error {
	data, err := o.JSON()
	if err != nil {
		return err
	}
	if err := sigsjson.UnmarshalCaseSensitivePreserveInts(data, into); err != nil {
		return o.decodeError("", err)
	}
	return nil
}

// DecodeSpec reads .spec into a pointer, such as one to an Istio API type. Without
// a spec nothing is changed.
func (o *Object) DecodeSpec(into any) error {
	spec, err := o.specJSON()
	if err != nil || len(spec) == 0 || string(spec) == "null" {
		return err
	}
	if api, ok := into.(json.Unmarshaler); ok {
		err = api.UnmarshalJSON(spec) // it is valid: what is around it was read
	} else {
		err = sigsjson.UnmarshalCaseSensitivePreserveInts(spec, into)
	}
	if err != nil {
		return o.decodeError("spec", err)
	}
	return nil
}

// specJSON is .spec as it was written, as JSON; empty where there is none.
func (o *Object) specJSON() ([]byte, error) {
	if o.inSpec != nil {
		return o.inSpec, nil
	}
	var head struct {
		Spec json.RawMessage `json:"spec"`
	}
	err := o.Decode(&head)
	return head.Spec, err
}

// decoded is a spec, or why it cannot be read.
type decoded struct {
	spec any
	err  error
}

// SharedSpec is DecodeSpec into what empty makes, done once for the object: a mesh with
// thousands of policies is judged several times for one answer. What it returns is
// everybody's, and must not be changed; all callers ask for the same type.
func (o *Object) SharedSpec(empty func() any) (any, error) {
	if d := o.spec.Load(); d != nil {
		return d.spec, d.err
	}
	d := &decoded{spec: empty()}
	d.err = o.DecodeSpec(d.spec)
	o.spec.Store(d)
	return d.spec, d.err
}

// PlainSelector is .spec.selector.matchLabels of a policy that is aimed at pods by that
// alone; false where it is not, or where only the whole spec can tell. Most of many
// policies are for other pods, and what else they say need not be read.
func (o *Object) PlainSelector() (map[string]string, bool) {
	var aim struct {
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		TargetRef  json.RawMessage `json:"targetRef"`
		TargetRefs json.RawMessage `json:"targetRefs"`
	}
	if o.inSpec == nil || sigsjson.UnmarshalCaseSensitivePreserveInts(o.inSpec, &aim) != nil {
		return nil, false
	}
	return aim.Selector.MatchLabels, len(aim.Selector.MatchLabels) > 0 && aim.TargetRef == nil && aim.TargetRefs == nil
}

// Mentions reports whether a text may stand in the object: false is certain, and quickly
// found out; true is not.
func (o *Object) Mentions(text string) bool {
	return bytes.Contains(o.raw, []byte(text)) || bytes.IndexByte(o.raw, '\\') >= 0 // which may escape it
}

// RawSpec is .spec as plain values, numbers as float64; nil where there is none.
func (o *Object) RawSpec() (map[string]any, error) {
	data, err := o.JSON()
	if err != nil {
		return nil, err
	}
	var head map[string]json.RawMessage
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, o.decodeError("", err)
	}
	var spec map[string]any
	if len(head["spec"]) > 0 {
		if err := json.Unmarshal(head["spec"], &spec); err != nil {
			return nil, o.decodeError("spec", err)
		}
	}
	return spec, nil
}

// decoderField is the field that Go's decoder names in an error.
var decoderField = lazyregexp.New(`cannot unmarshal (\S+) into Go struct field [^. ]*\.(\S+) of type (\S+)`)

// decodeError dresses an error of a decoder with the place of the object, and with the
// very field where the field check or the decoder itself tells.
func (o *Object) decodeError(field string, err error) error {
	for _, found := range CheckFields(o) {
		if !found.Unknown() {
			return found
		}
	}
	out := &InputError{
		File: o.Position.File, Object: o.Ref().String(), Field: field,
		Problem: "does not fit the API: " + oneLine(err.Error()), Hint: "kubectl explain " + strings.ToLower(o.Kind) + " shows the fields and their types",
		Err: err,
	}
	if m := decoderField.FindStringSubmatch(err.Error()); m != nil {
		out.Field, out.Problem = m[2], "is "+goKind(m[1])+" where "+goKind(m[3])+" is wanted"
	}
	out.Line = o.Line(out.Field)
	return out
}

// goKind puts what Go's decoder calls a kind of value or a type into words.
func goKind(name string) string {
	switch {
	case name == "array" || strings.HasPrefix(name, "[]"):
		return string(isList)
	case name == "string":
		return string(isString)
	case name == "bool":
		return string(isBool)
	case name == "number" || strings.HasPrefix(name, "int") && !strings.Contains(name, ".") || strings.HasPrefix(name, "float"):
		return string(isNumber)
	}
	return string(isMap)
}

// text is the YAML or JSON of the object, such that it can be parsed by itself.
func (o *Object) text() []byte {
	if !o.dashed {
		return o.raw
	}
	text := bytes.Clone(o.raw)
	text[bytes.IndexByte(text, '-')] = ' '
	return text
}

// Age is when the object was created, for putting objects in order: what has no
// time of creation is yet to be applied, and so younger than all that has one.
func (o *Object) Age() int64 { return age(o.Created) }

func age(created int64) int64 {
	if created == 0 {
		return math.MaxInt64
	}
	return created
}
