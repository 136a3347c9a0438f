package gen

import (
	"strings"
)

// oddPlace puts the token into a place in a way that makes a difference, or almost.
func (r *draft) oddPlace(text string, where place) {
	switch where.kind {
	case "header":
		r.oddHeader(text, where)
	case "param":
		r.oddParam(text, where)
	default:
		r.oddCookie(text, where)
	}
}

func (r *draft) oddHeader(text string, where place) {
	good := where.prefix + text
	bare := strings.TrimSpace(where.prefix)
	name, lines := where.name, []string{good}
	form := pick(r.dice, "case", "before", "blanks", "no-prefix", "prefix-alone", "prefix-alone", "junk-between", "twice", "with-junk", "junk-first", "tail",
		"empty", "name-case", "comma", "other-scheme", "prefix-twice", "only-junk")
	switch form {
	case "case":
		lines[0] = swapCase(where.prefix) + text
	case "before":
		lines[0] = pick(r.dice, "x", "Basic x,", "Basic x, ", ";") + good
	case "blanks":
		lines[0] = where.prefix + "  " + text
	case "no-prefix":
		lines[0] = text
	case "prefix-alone":
		lines[0] = pick(r.dice, where.prefix, bare)
	case "junk-between":
		lines[0] = where.prefix + pick(r.dice, "!!", "=", ",", `"`, "/") + text
	case "twice":
		lines = append(lines, good)
	case "with-junk":
		lines = append(lines, pick(r.dice, "junk", "Basic eHg=", where.prefix+"junk", "", bare))
	case "junk-first":
		lines = []string{pick(r.dice, "junk", "Basic eHg=", where.prefix+"junk", "", bare), good}
	case "tail":
		lines[0] = good + pick(r.dice, ",x", " x", "x", ".", "=", ";", "\t")
	case "empty":
		lines[0] = ""
	case "name-case":
		name = swapCase(name)
	case "comma":
		lines[0] = good + "," + good
	case "other-scheme":
		lines[0] = "Basic eHg="
	case "prefix-twice":
		lines[0] = where.prefix + good
	case "only-junk":
		lines[0] = where.prefix + pick(r.dice, "!!!", "=", "  ", "é")
	}
	r.tag("header-form/" + form)
	for _, line := range lines {
		r.header(name, line)
	}
}

func (r *draft) oddParam(text string, where place) {
	name := escapeQuery(where.name)
	form := pick(r.dice, "twice", "junk-second", "junk-first", "empty", "bare", "escaped-name", "escaped-token", "semicolon", "plus", "fragment", "case", "first", "blank-name", "last-empty")
	r.tag("param-form/" + form)
	add := func(pieces ...string) { r.query = append(r.query, pieces...) }
	switch form {
	case "twice":
		add(name+"="+text, name+"="+text)
	case "junk-second":
		add(name+"="+text, name+"=junk")
	case "junk-first":
		add(name+"=junk", name+"="+text)
	case "empty":
		add(name + "=")
	case "bare":
		add(name)
	case "escaped-name":
		add("%" + hex(where.name[0]) + where.name[1:] + "=" + text)
	case "escaped-token":
		add(name + "=%65" + pick(r.dice, "yJ", "") + text)
	case "semicolon":
		add("a=1;" + name + "=" + text)
	case "plus":
		add(strings.ReplaceAll(where.name, " ", "+") + "=" + text + "+")
	case "fragment":
		r.path += "#" + name + "=" + text
	case "case":
		add(swapCase(name) + "=" + text)
	case "first":
		add("z=1", name+"="+text, "b=%20%2f", "a=x+y", "b=2", "c")
	case "blank-name":
		add("="+text, name+"="+text)
	case "last-empty":
		add(name+"="+text, "", "&")
	}
}

// hex is a character as two digits.
func hex(c byte) string {
	const digits = "0123456789ABCDEF"
	return string([]byte{digits[c>>4], digits[c&15]})
}

func (r *draft) oddCookie(text string, where place) {
	good := where.name + "=" + text
	form := pick(r.dice, "quoted", "second", "quoted-second", "twice", "two-lines", "blank-before-equals", "no-equals", "empty", "case", "half-quoted", "comma", "no-blank", "blank-inside", "double-quoted")
	r.tag("cookie-form/" + form)
	lines := []string{good}
	switch form {
	case "quoted":
		lines[0] = where.name + `="` + text + `"`
	case "second":
		lines[0] = "z=1; " + good
	case "quoted-second":
		lines[0] = "z=1; " + where.name + `="` + text + `"; b=2`
	case "twice":
		lines[0] = pick(r.dice, good+"; "+where.name+"=junk", where.name+"=junk; "+good)
	case "two-lines":
		lines = pick(r.dice, []string{"z=1", good}, []string{good, where.name + "=junk"}, []string{where.name + "=junk", good})
	case "blank-before-equals":
		lines[0] = where.name + " =" + text
	case "no-equals":
		lines[0] = where.name
	case "empty":
		lines[0] = where.name + pick(r.dice, "=", `=""`)
	case "case":
		lines[0] = swapCase(where.name) + "=" + text
	case "half-quoted":
		lines[0] = where.name + `="` + text
	case "comma":
		lines[0] = "z=1, " + good
	case "no-blank":
		lines[0] = "z=1;" + good + ";"
	case "blank-inside":
		lines[0] = where.name + "= " + text
	case "double-quoted":
		lines[0] = where.name + `=""` + text + `""`
	}
	for _, line := range lines {
		r.header("Cookie", line)
	}
}
