// Package version reads the versions of Istio and of Alibaba Cloud Service Mesh
// as they stand in image tags and flags, and says which features and fixes a
// version has. It is a leaf of the core: it imports the standard library only,
// and every other package may import it.
package version

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
)

// Version is a version of Istio, or of ASM, which counts as Istio does. The zero
// value stands for the newest, the one that is run as the judge.
type Version struct {
	Major, Minor, Patch int
	// Build is ASM's fourth number; 0 where there is none.
	Build int
	text  string
	known bool
	// floating is set where no patch is named: a tag such as 1.30 moves.
	floating bool
	// pre is set for what was built before the release: 1.30-alpha.x, 1.30.0-rc.1.
	pre bool
	asm bool
}

var (
	number   = lazyregexp.New(`^[vV]?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:\.(\d{1,6}))?(?:[-.+_](.*))?$`)
	revision = lazyregexp.New(`^(\d{1,4})-(\d{1,4})(?:-(\d{1,4}))?$`)
	commits  = lazyregexp.New(`(?:^|-)g[0-9a-f]{7,}(?:-|$)`)
	preWords = lazyregexp.New(`(?:^|[-.])(alpha|beta|rc|dev|latest|main|master)(?:[-.0-9]|$)`)
)

// Parse reads a version leniently: v1.14.3.47-ga31201346f-aliyun, 1.22.6.109,
// 1.31.2-distroless, 1.30-alpha.abc, or a revision such as 1-23-6. It is false for
// what is no version, such as latest or a digest.
func Parse(text string) (Version, bool) {
	text = strings.TrimSpace(text)
	m := number.FindStringSubmatch(text)
	if m == nil {
		r := revision.FindStringSubmatch(text)
		if r == nil {
			return Version{}, false
		}
		m = []string{text, r[1], r[2], r[3], "", ""}
	}
	v := Version{text: text, known: true, floating: m[3] == ""}
	v.Major, v.Minor, v.Patch, v.Build = atoi(m[1]), atoi(m[2]), atoi(m[3]), atoi(m[4])
	suffix := strings.ToLower(m[5])
	v.asm = m[4] != "" || strings.Contains(suffix, "aliyun") || commits.MatchString(suffix)
	v.pre = preWords.MatchString(suffix)
	return v, true
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// FromImage reads the version of an image's tag. It is false where the image has
// no tag, as the injector's "auto", or one that is no version.
func FromImage(image string) (Version, bool) {
	tag, ok := Tag(image)
	if !ok {
		return Version{}, false
	}
	return Parse(tag)
}

// Tag is the tag of an image, without any digest.
func Tag(image string) (string, bool) {
	image, _, _ = strings.Cut(image, "@")
	i := strings.LastIndexByte(image, ':')
	if i < 0 || i < strings.LastIndexByte(image, '/') || i == len(image)-1 {
		return "", false
	}
	return image[i+1:], true
}

// IsZero reports whether no version was named, which stands for the newest.
func (v Version) IsZero() bool { return !v.known }

// IsASM reports whether the version is one of Alibaba Cloud Service Mesh.
func (v Version) IsASM() bool { return v.asm }

// String is the version as it was written; empty for the zero value.
func (v Version) String() string { return v.text }

// Compare orders two versions by their numbers; what precedes a release comes
// before it, and the zero value after everything.
func (v Version) Compare(o Version) int {
	if !v.known || !o.known {
		return cmp.Compare(b2i(!v.known), b2i(!o.known))
	}
	return cmp.Or(
		cmp.Compare(v.Major, o.Major), cmp.Compare(v.Minor, o.Minor), cmp.Compare(v.Patch, o.Patch),
		cmp.Compare(b2i(o.pre), b2i(v.pre)), cmp.Compare(v.Build, o.Build),
	)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Before reports whether the version's branch is older than a minor release of
// Istio 1; the zero value never is.
func (v Version) Before(minor int) bool {
	return v.known && (v.Major < 1 || v.Major == 1 && v.Minor < minor)
}
