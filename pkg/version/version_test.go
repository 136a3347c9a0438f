package version

import (
	"cmp"
	"testing"
)

func TestParseReadsWhatImagesAndFlagsSay(t *testing.T) {
	for _, c := range []struct {
		text                       string
		major, minor, patch, build int
		asm, ok                    bool
	}{
		{"1.31.2", 1, 31, 2, 0, false, true},
		{"v1.31.2", 1, 31, 2, 0, false, true},
		{"1.31.2-distroless", 1, 31, 2, 0, false, true},
		{"1.30-alpha.abc", 1, 30, 0, 0, false, true},
		{"1.30", 1, 30, 0, 0, false, true},
		{"1-23-6", 1, 23, 6, 0, false, true},
		{"1-23", 1, 23, 0, 0, false, true},
		{"1.8.6", 1, 8, 6, 0, false, true},
		{" 1.8.6 ", 1, 8, 6, 0, false, true},
		{"1.30.0-rc.1", 1, 30, 0, 0, false, true},
		{"v1.14.3.47-ga31201346f-aliyun", 1, 14, 3, 47, true, true},
		{"v1.12.4-6-g1a1d912366-pro-aliyun", 1, 12, 4, 0, true, true},
		{"v1.8.6.49-gda24841c-aliyun", 1, 8, 6, 49, true, true},
		{"1.22.6.109", 1, 22, 6, 109, true, true},
		{"v1.17.2.37", 1, 17, 2, 37, true, true},
		{"1.24.6-aliyun", 1, 24, 6, 0, true, true},
		{"1.30.1_custom", 1, 30, 1, 0, false, true},
		{"latest", 0, 0, 0, 0, false, false},
		{"auto", 0, 0, 0, 0, false, false},
		{"", 0, 0, 0, 0, false, false},
		{"1", 0, 0, 0, 0, false, false},
		{"sha256", 0, 0, 0, 0, false, false},
		{"99999.1.1", 0, 0, 0, 0, false, false},
	} {
		t.Run(c.text, func(t *testing.T) {
			v, ok := Parse(c.text)
			if ok != c.ok || v.Major != c.major || v.Minor != c.minor || v.Patch != c.patch || v.Build != c.build || v.IsASM() != c.asm {
				t.Errorf("got %d.%d.%d.%d asm %v, %v", v.Major, v.Minor, v.Patch, v.Build, v.IsASM(), ok)
			}
			if v.IsZero() == ok {
				t.Errorf("IsZero is %v", v.IsZero())
			}
		})
	}
}

func TestTheTagOfAnImageIsItsVersion(t *testing.T) {
	for _, c := range []struct {
		image, want string
		ok          bool
	}{
		{"docker.io/istio/proxyv2:1.27.0", "1.27.0", true},
		{"registry:5000/istio/proxyv2:1.27.0-distroless", "1.27.0-distroless", true},
		{"istio/proxyv2:1.27.0@sha256:0123", "1.27.0", true},
		{"registry-vpc.example.com/acs/proxyv2:v1.14.3.47-ga31201346f-aliyun", "v1.14.3.47-ga31201346f-aliyun", true},
		{"registry:5000/istio/proxyv2", "", false},
		{"istio/proxyv2@sha256:0123", "", false},
		{"istio/proxyv2:latest", "", false},
		{"auto", "", false},
		{"auto:", "", false},
		{"", "", false},
	} {
		v, ok := FromImage(c.image)
		if ok != c.ok || v.String() != c.want {
			t.Errorf("%s: got %q, %v", c.image, v, ok)
		}
	}
}

func must(t *testing.T, text string) Version {
	t.Helper()
	v, ok := Parse(text)
	if !ok {
		t.Fatalf("%q is no version", text)
	}
	return v
}

func TestVersionsAreOrdered(t *testing.T) {
	ordered := []string{"1.8.6", "1.14.3.47", "1.14.3.48", "1.30.0-rc.1", "1.30.0", "1.30.1", "1.31.0", "2.0.0"}
	for i, a := range ordered {
		for j, b := range ordered {
			want := cmp.Compare(i, j)
			if got := must(t, a).Compare(must(t, b)); got != want {
				t.Errorf("%s against %s: %d", a, b, got)
			}
		}
		if must(t, a).Compare(Version{}) != -1 || (Version{}).Compare(must(t, a)) != 1 {
			t.Errorf("%s is not older than the newest", a)
		}
	}
	if (Version{}).Compare(Version{}) != 0 {
		t.Error("the newest differs from itself")
	}
}

func TestBeforeComparesBranches(t *testing.T) {
	if !must(t, "1.21.9").Before(22) || must(t, "1.22.0").Before(22) || (Version{}).Before(99) {
		t.Error("branches are compared wrongly")
	}
}

func TestAFixHoldsFromItsReleaseOnEachBranchAndOnLaterOnes(t *testing.T) {
	for _, c := range []struct {
		feature *Feature
		text    string
		want    Answer
	}{
		{HeadersIndividually, "1.26.8", No},
		{HeadersIndividually, "1.27.7", No},
		{HeadersIndividually, "1.27.8", Yes},
		{HeadersIndividually, "1.28.4", No},
		{HeadersIndividually, "1.28.5", Yes},
		{HeadersIndividually, "1.29.0", No},
		{HeadersIndividually, "1.30.0", Yes},
		{HeadersIndividually, "1.33.0", Yes},
		{HeadersIndividually, "2.0.0", Yes},
		{HeadersIndividually, "1.28", Unsure},
		{HeadersIndividually, "1.30", Yes},
		{HeadersIndividually, "1.30-alpha.abc", Unsure},
		{HeadersIndividually, "1.30.0-rc.0", Unsure},
		{HeadersIndividually, "1.31-alpha.abc", Yes},
		{HeadersIndividually, "1.27.3.50-aliyun", Unsure},
		{HeadersIndividually, "1.27.8.50-aliyun", Yes},
		{HeadersIndividually, "1.22.6.109", Unsure},
		{HeadersIndividually, "1.30.0.1", Yes},
		{ServiceAccounts, "1.24.9", No},
		{ServiceAccounts, "1.24.9-aliyun", No},
		{ServiceAccounts, "1.25.0", Yes},
		{ServiceAccounts, "1.25-alpha.1", Unsure},
		{RemoteJWKSModes, "1.15.5", No},
		{RemoteJWKSModes, "1.15.6", Yes},
		{RemoteJWKSModes, "1.16.9", No},
		{RemoteJWKSModes, "1.18.0", Yes},
		{TrustDomains, "1.30.1", No},
		{TrustDomains, "1.30.2", Yes},
		{TrustDomains, "1.31.0", Yes},
	} {
		if got := c.feature.Has(must(t, c.text)); got != c.want {
			t.Errorf("%s in %s: %d", c.feature.Name, c.text, got)
		}
	}
	if SanitizeAllProviders.Has(Version{}) != Yes {
		t.Error("the newest does not have everything")
	}
}

func TestTheReleasesOfAFeatureAreSaidInWords(t *testing.T) {
	if got := PathTemplates.SinceWords(); got != "Istio 1.22.0" {
		t.Errorf("got %q", got)
	}
	if got := HostsIgnoreCase.SinceWords(); got != "Istio 1.9.8, 1.10.4 and 1.11.1" {
		t.Errorf("got %q", got)
	}
}
