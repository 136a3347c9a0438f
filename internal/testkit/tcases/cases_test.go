package tcases

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	meshapi "istio.io/api/mesh/v1alpha1"
	networkingapi "istio.io/api/networking/v1alpha3"
	securityapi "istio.io/api/security/v1beta1"
	"sigs.k8s.io/yaml"
)

func TestAll_ThatEveryRowIsThereOrSaysWhyNot(t *testing.T) {
	count := map[string]int{}
	for _, c := range All() {
		count[c.Row]++
	}
	why := NotRunnable()
	for i := 1; i <= 136; i++ {
		row := fmt.Sprintf("T%03d", i)
		if (count[row] == 0) == (why[row] == "") {
			t.Errorf("row %s has %d cases and the reason %q", row, count[row], why[row])
		}
		delete(count, row)
	}
	if len(count) != 0 {
		t.Errorf("rows that the specification does not have: %v", count)
	}
}

func TestAll_ThatNamesAreUniqueAndTheOrderIsThatOfTheRows(t *testing.T) {
	seen := map[string]bool{}
	var rows []string
	for _, c := range All() {
		if seen[c.Name] {
			t.Errorf("two cases are named %s", c.Name)
		}
		seen[c.Name] = true
		rows = append(rows, c.Row)
		if c.Name != c.Row && !strings.HasPrefix(c.Name, c.Row+"/") {
			t.Errorf("case %s is in row %s", c.Name, c.Row)
		}
	}
	if !slices.IsSorted(rows) {
		t.Errorf("the rows are not in order: %v", rows)
	}
}

func TestAll_ThatEveryObjectIsWrittenInFieldsThatTheAPIKnows(t *testing.T) {
	for _, c := range All() {
		for _, doc := range strings.Split(c.Mesh, "---\n") {
			if err := strict(doc); err != nil {
				t.Errorf("%s: %v in\n%s", c.Name, err, doc)
			}
		}
	}
}

// strict loads an object and fails on a field that its API does not know.
func strict(doc string) error {
	var o struct {
		APIVersion string
		Kind       string
		Metadata   struct{ Name, Namespace string }
		Spec       any
		Data       map[string]string
	}
	if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
		return err
	}
	spec, err := yaml.Marshal(o.Spec)
	if err != nil {
		return err
	}
	var into proto.Message
	switch o.Kind {
	case "AuthorizationPolicy":
		into = &securityapi.AuthorizationPolicy{}
	case "RequestAuthentication":
		into = &securityapi.RequestAuthentication{}
	case "PeerAuthentication":
		into = &securityapi.PeerAuthentication{}
	case "Gateway":
		if strings.HasPrefix(o.APIVersion, "gateway.networking.k8s.io/") {
			return nil // not Istio's
		}
		into = &networkingapi.Gateway{}
	case "ConfigMap":
		spec, into = []byte(o.Data["mesh"]), &meshapi.MeshConfig{}
	case "Namespace", "Deployment", "Service":
		return nil
	default:
		return fmt.Errorf("kind %q is not expected here", o.Kind)
	}
	text, err := yaml.YAMLToJSON(spec)
	if err != nil {
		return err
	}
	return protojson.Unmarshal(text, into)
}

func TestAll_ThatEveryTokenCanBeMinted(t *testing.T) {
	sign := func(key, alg string, input []byte) ([]byte, error) { return lookup(key).Sign(alg, input), nil }
	for _, c := range All() {
		got, err := c.Request.Mint(1_800_000_000, sign)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		for _, h := range got.Headers {
			if strings.Contains(h.Value, "{") {
				t.Errorf("%s: header %s still has a placeholder", c.Name, h.Name)
			}
		}
	}
}

func TestRows_ThatCasesNamedAloneDifferFromEachOther(t *testing.T) {
	seen := map[string]string{}
	for _, c := range All() {
		text := fmt.Sprintf("%#v %#v", c.Mesh, c.Request)
		if other, twice := seen[text]; twice && c.Row == other[:4] {
			t.Errorf("%s and %s are the same case", c.Name, other)
		}
		seen[text] = c.Name
	}
}
