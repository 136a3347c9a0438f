// Package doctor holds what the command doctor finds out: which API servers a mesh has,
// in which versions, what the user may read there, and how a proxy can be asked. It is
// values only; pkg/kube fills them, pkg/render prints them. It is part of the core: no
// clock, no network, no writer.
//
// It imports the standard library only.
package doctor

// APIVersion and Kind are those of the JSON form.
const (
	APIVersion = "asmjwt.dev/v1alpha1"
	Kind       = "Doctor"
)

// Report is the whole answer.
type Report struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Namespace is the one that rights were asked for.
	Namespace string    `json:"namespace"`
	Planes    []Plane   `json:"planes"`
	Versions  []Version `json:"versions"`
	Rights    []Right   `json:"rights"`
	Proxy     []Right   `json:"proxy"`
	// Problems are what keeps questions from being answered, each in a sentence.
	Problems []Problem `json:"problems"`
}

// Plane is an API server.
type Plane struct {
	// Role is "pods and mesh", "pods" or "mesh".
	Role       string `json:"role"`
	Context    string `json:"context,omitempty"`
	Server     string `json:"server"`
	Kubernetes string `json:"kubernetes,omitempty"`
	// From says how the server was chosen, where no flag and no context did.
	From   string  `json:"from,omitempty"`
	Serves []Group `json:"serves"`
}

// Group is an API group with its versions, the preferred one first.
type Group struct {
	Name     string   `json:"name"`
	Versions []string `json:"versions"`
}

// Version is that of a part of the mesh.
type Version struct {
	What    string `json:"what"`
	Version string `json:"version,omitempty"` // empty: not known
	From    string `json:"from,omitempty"`
	Count   int    `json:"count,omitempty"` // of proxies
}

// Answer says whether something is allowed.
type Answer string

// The answers.
const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Unknown Answer = "unknown"
)

// Right is something that the user may do, or not.
type Right struct {
	// What is the right as one asks for it, "list pods in foo".
	What    string `json:"what"`
	Plane   string `json:"plane"`
	Allowed Answer `json:"allowed"`
	// For says what hangs on it.
	For string `json:"for"`
	// Optional says that a verdict can be given without it.
	Optional bool `json:"optional,omitempty"`
}

// Problem is what keeps questions from being answered.
type Problem struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Unsure says that it could not be found out whether it is one.
	Unsure bool `json:"unsure,omitempty"`
}

// Judge fills in the problems.
func (r *Report) Judge() {
	r.Problems = []Problem{}
	if !r.serves("security.istio.io") {
		r.Problems = append(r.Problems, Problem{
			Message: "no API server that was asked serves security.istio.io: there is no mesh here, or it has its own API server",
			Hint:    "name the mesh's own API server with --mesh-kubeconfig or --mesh-context",
		})
	}
	lacking, unsure := 0, 0
	for _, right := range r.Rights {
		switch {
		case right.Optional:
		case right.Allowed == No:
			lacking++
		case right.Allowed == Unknown:
			unsure++
		}
	}
	if lacking > 0 {
		r.Problems = append(r.Problems, Problem{
			Message: count(lacking, "right is", "rights are") + " lacking in " + r.Namespace + " or for the whole mesh: verdicts that need them are undetermined",
			Hint:    "ask for the rights that are marked no",
		})
	}
	if unsure > 0 {
		r.Problems = append(r.Problems, Problem{Message: "the server did not say whether you have " + count(unsure, "right", "rights"), Unsure: true})
	}
}

func (r *Report) serves(group string) bool {
	for _, p := range r.Planes {
		for _, g := range p.Serves {
			if g.Name == group {
				return true
			}
		}
	}
	return false
}
