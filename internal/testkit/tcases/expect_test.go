package tcases

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/asmjwt/kubectl-asmjwt/internal/testkit/judge"
)

func seven() *int { n := 7; return &n }

func TestExpectCheck_ThatTheAnswersThatItDescribesPass(t *testing.T) {
	upstream := &judge.Upstream{Headers: []judge.Header{{Name: "cookie", Value: "a=1"}}}
	for name, c := range map[string]struct {
		want Expect
		got  judge.Answer
	}{
		"the application's answer":        {passed(kept("cookie"), gone("authorization")), judge.Answer{Status: 200, Body: "x", Upstream: upstream}},
		"a denial by a policy":            {rbac403("none"), judge.Answer{Status: 403, Body: "RBAC: access denied", Details: "rbac_access_denied_matched_policy[none]"}},
		"a denial by a token":             {j401(expired), judge.Answer{Status: 401, Body: expired, Details: "jwt_authn_access_denied{Jwt_is_expired}", WWWAuthenticate: `Bearer realm="x", error="invalid_token"`}},
		"a connection without an answer":  {closed(""), judge.Answer{Closed: true}},
		"a listener that was not taken":   {refused("[n] field"), judge.Answer{Refused: "x: [n] field is missing"}},
		"a denial in gRPC's way":          {inGRPC(rbac403("none"), 7), judge.Answer{Status: 200, Details: "rbac_access_denied_matched_policy[none]", GRPCStatus: seven(), GRPCMessage: "RBAC: access denied"}},
		"a denial of HEAD without a body": {inHEAD(rbac403("none")), judge.Answer{Status: 403, Details: "rbac_access_denied_matched_policy[none]"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := c.want.Check(c.got); len(diff) != 0 {
				t.Errorf("differences: %v", diff)
			}
		})
	}
}

func TestExpectCheck_ThatEveryDifferenceIsTold(t *testing.T) {
	up := &judge.Upstream{Headers: []judge.Header{{Name: "authorization", Value: "x"}}}
	for name, c := range map[string]struct {
		want Expect
		got  judge.Answer
		tell string
	}{
		"another status":                          {passed(), judge.Answer{Status: 403, Upstream: up}, "status"},
		"a 200 that is not the application's":     {passed(), judge.Answer{Status: 200}, "did not get the request"},
		"a header that should be gone":            {passed(gone("authorization")), judge.Answer{Status: 200, Upstream: up}, "authorization"},
		"a header that should be there":           {passed(kept("x")), judge.Answer{Status: 200, Upstream: up}, "header x"},
		"another body":                            {rbac403("none"), judge.Answer{Status: 403, Details: rbac403("none").Details}, "body"},
		"other details":                           {rbac403("none"), judge.Answer{Status: 403, Body: "RBAC: access denied", Details: "x"}, "details"},
		"a denial that reached the application":   {rbac403("none"), judge.Answer{Status: 403, Body: "RBAC: access denied", Details: rbac403("none").Details, Upstream: up}, "the application got"},
		"no error in www-authenticate":            {j401(expired), judge.Answer{Status: 401, Body: expired, Details: j401(expired).Details}, "www-authenticate"},
		"no closed connection":                    {closed(""), judge.Answer{Status: 200, Upstream: up}, "closed"},
		"a listener that was taken":               {refused("x"), judge.Answer{Status: 200}, "refused"},
		"a listener that was not taken":           {passed(), judge.Answer{Refused: "x"}, "refused"},
		"no status of gRPC":                       {inGRPC(rbac403("none"), 7), judge.Answer{Status: 200}, "grpc-status"},
		"another status of gRPC":                  {inGRPC(rbac403("none"), 16), judge.Answer{Status: 200, GRPCStatus: seven()}, "grpc-status"},
		"another message of gRPC":                 {inGRPC(rbac403("none"), 7), judge.Answer{Status: 200, GRPCStatus: seven()}, "grpc-message"},
		"a status of gRPC where none is expected": {rbac403("none"), judge.Answer{Status: 403, GRPCStatus: seven()}, "grpc-status"},
	} {
		t.Run(name, func(t *testing.T) {
			diff := strings.Join(c.want.Check(c.got), "; ")
			if !strings.Contains(diff, c.tell) {
				t.Errorf("got %q, want something about %q", diff, c.tell)
			}
		})
	}
}

func TestAnswers_ThatEnvoyAnsweredAsTheSpecificationSays(t *testing.T) {
	version, answers, err := Answers()
	if err != nil {
		t.Fatal(err)
	}
	if (version == "") != (len(answers) == 0) {
		t.Errorf("version %q with %d answers", version, len(answers))
	}
	known := map[string]bool{}
	for _, c := range All() {
		known[c.Name] = true
		got, run := answers[c.Name]
		if !run {
			continue
		}
		want := c.Expect
		if got.WWWAuthenticate == "with a token in the path" {
			want.WWWAuthenticate = "" // the recorder leaves out what differs each time
		}
		if diff := want.Check(got); len(diff) != 0 {
			t.Errorf("%s: %s", c.Name, strings.Join(diff, "\n\t"))
		}
	}
	for name := range answers {
		if !known[name] {
			t.Errorf("there is an answer to %s, which is no case", name)
		}
	}
}

func TestWriteAnswers_ThatWhatIsWrittenIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "answers.json")
	want := map[string]judge.Answer{"T001": {Time: 1, Status: 200, GRPCStatus: seven()}}
	if err := WriteAnswers(file, "1.2.3", want); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	version, got, err := parseAnswers(text)
	if err != nil || version != "1.2.3" || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, %v", version, got, err)
	}
	if _, _, err := parseAnswers(text[1:]); err == nil {
		t.Error("a broken file is read without an error")
	}
}
