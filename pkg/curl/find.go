package curl

import (
	"path"
	"slices"
	"strings"

	"github.com/asmjwt/kubectl-asmjwt/internal/lazyregexp"
)

// invocation is a curl command with what is around it.
type invocation struct {
	args  []word
	exec  *Exec
	notes []string
}

// find looks for the one curl command of a text.
func find(text string, opts Options) (*invocation, error) {
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
	if err := otherTools(text); err != nil {
		return nil, err
	}
	found, err := findIn(dialect(text, opts.Expand), opts)
	if err != nil || found != nil {
		return found, err
	}
	// Nothing but comments: a prompt of root's, or a page that lost its line breaks.
	if strings.Contains(text, "#") {
		sh := &bash{text: text, hashes: true, vars: newVariables(opts.Expand)}
		if found, err = findIn(sh, opts); err != nil || found != nil {
			return found, err
		}
	}
	return nil, refuse("paste the whole line, from the word curl on", "there is no curl command in it")
}

// otherTools refuses what browsers copy beside cURL.
func otherTools(text string) error {
	const hint = "choose \"Copy as cURL\" in the browser"
	lower := strings.ToLower(text)
	switch {
	case strings.HasPrefix(lower, "fetch(") || strings.HasPrefix(lower, "await fetch("):
		return refuse(hint, "it is JavaScript's fetch, not curl")
	case strings.Contains(lower, "invoke-webrequest") || strings.Contains(lower, "invoke-restmethod"):
		return refuse(hint, "it is PowerShell's Invoke-WebRequest, not curl")
	}
	return nil
}

func findIn(sh shell, opts Options) (*invocation, error) {
	var found *invocation
	for {
		c, ok, err := sh.next()
		if err != nil {
			if found != nil { // what follows a whole command is not ours to read
				return found, nil
			}
			return nil, err
		}
		if !ok {
			return found, nil
		}
		if found == nil && sh.assign(c.words) {
			continue
		}
		next, err := inCommand(c, opts)
		switch {
		case err != nil:
			return nil, err
		case next == nil:
			continue
		case found != nil:
			return nil, refuse("ask about one at a time", "there are several curl commands in it")
		}
		if found = next; c.end == "&" {
			found.cut()
		}
	}
}

// cut tells of an & that ended the command, if it was meant for the URL.
func (v *invocation) cut() {
	if slices.ContainsFunc(v.args, func(w word) bool { return !w.quoted && strings.Contains(w.text(), "?") }) {
		v.notes = append(v.notes, "the & is not in quotes: the shell ends the command there, and the rest of the URL is not sent")
	}
}

// inCommand finds curl among the words of a simple command.
func inCommand(c simple, opts Options) (*invocation, error) {
	words := c.words
	start := 0
	exec, verb, after := kubectl(words)
	start = max(start, after)
	var notes []string
	switch {
	case exec != nil && exec.Target == "":
		notes = []string{"the pod of kubectl exec is not plain: say who calls with --from TYPE/NAME"}
	case verb == "run" || verb == "debug":
		notes = []string{"kubectl " + verb + " makes a pod of its own: say who calls with --from-principal, or --from TYPE/NAME"}
	}
	for i := start; i < len(words); i++ {
		text := words[i].text()
		if isCurl(text) {
			return &invocation{args: words[i+1:], exec: exec, notes: notes}, nil
		}
		if text == "-c" && i > 0 && i+1 < len(words) && isShell(words[i-1].text()) {
			return inScript(words[i+1], exec, notes, opts)
		}
	}
	return nil, nil
}

// inScript finds curl in what sh -c is given.
func inScript(script word, exec *Exec, notes []string, opts Options) (*invocation, error) {
	if !strings.Contains(script.text(), "curl") {
		return nil, nil
	}
	if script.runs != "" {
		return nil, script.known("the script of sh -c")
	}
	sh := &bash{text: script.text(), vars: newVariables(opts.Expand)}
	found, err := findIn(sh, opts)
	if found != nil && (exec != nil || len(notes) > 0) {
		found.exec, found.notes = exec, append(found.notes, notes...)
	}
	return found, err
}

func isShell(s string) bool {
	return slices.Contains([]string{"sh", "bash", "ash", "dash", "zsh"}, path.Base(s))
}

// isCurl reports whether a word is curl's name, or an image's that is curl.
func isCurl(s string) bool {
	if strings.HasPrefix(s, "-") || strings.ContainsAny(s, "=$ ") {
		return false
	}
	s = strings.ReplaceAll(s, `\`, "/")
	name := strings.ToLower(path.Base(s))
	if image, _, tagged := strings.Cut(name, ":"); tagged && strings.Contains(s, "/") {
		name = image
	}
	return name == "curl" || name == "curl.exe"
}

// kubectlValues are the options of kubectl exec that have a value.
var kubectlValues = lazyregexp.New(`^(-n|--namespace|-c|--container|-f|--filename|--pod-running-timeout|--context|--kubeconfig|--cluster|--user|-s|--server|--as|--as-group|--as-uid|--token|--request-timeout|--cache-dir|-v|--v|--image|--overrides|--restart|--labels|-l|--env|--port)$`)

// kubectl reads a kubectl exec in front of the command, and where the command begins.
// exec is nil where there is none.
func kubectl(words []word) (exec *Exec, verb string, after int) {
	at := slices.IndexFunc(words, func(w word) bool {
		return slices.Contains([]string{"kubectl", "kubectl.exe", "oc", "k", "microk8s.kubectl"}, path.Base(w.text()))
	})
	if at < 0 {
		return nil, "", 0
	}
	exec = &Exec{}
	named := false
	i := at + 1
	for ; i < len(words); i++ {
		w := words[i]
		text := w.text()
		if text == "--" {
			i++
			break
		}
		if named && isCurl(text) {
			break // the old form, without --
		}
		if strings.HasPrefix(text, "-") && len(text) > 1 {
			name, value, joined := strings.Cut(text, "=")
			if !joined && strings.HasPrefix(text, "-n") && len(text) > 2 && text[1] != '-' {
				name, value, joined = "-n", text[2:], true
			}
			plain := w.plain()
			if kubectlValues.MatchString(name) && !joined && i+1 < len(words) {
				i++
				value, plain = words[i].text(), words[i].plain()
			}
			if !plain {
				value = ""
			}
			switch name {
			case "-n", "--namespace":
				exec.Namespace = value
			case "-c", "--container":
				exec.Container = value
			}
			continue
		}
		switch {
		case verb == "":
			verb = text
		case !named:
			named = true
			if w.plain() {
				exec.Target = text
			}
		}
	}
	if verb != "exec" && verb != "rsh" {
		return nil, verb, i // such as kubectl run, whose pod is a new one
	}
	if exec.Target != "" && !strings.Contains(exec.Target, "/") {
		exec.Target = "pod/" + exec.Target
	}
	return exec, verb, i
}
