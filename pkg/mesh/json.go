package mesh

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"

	sigsjson "sigs.k8s.io/json"
)

// json reads JSON values, one after the other, or returns errOdd where it is a flow
// mapping of YAML rather than JSON.
func (p *parser) json(d document) error {
	at := 0
	for {
		at += blanks(d.raw[at:])
		if at == len(d.raw) {
			return nil
		}
		line := d.line + bytes.Count(d.raw[:at], []byte("\n"))
		dec := json.NewDecoder(bytes.NewReader(d.raw[at:]))
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			if at == blanks(d.raw) && !looksLikeJSON(d.raw) {
				return errOdd
			}
			return jsonError(Position{p.opts.File, d.line}, d.raw, int64(at), cutOff(err))
		}
		end := at + int(dec.InputOffset())
		if err := p.jsonValue(d.raw[end-len(value):end], line, nil); err != nil {
			return err
		}
		at = end
	}
}

func cutOff(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("unexpected end of input")
	}
	return err
}

func blanks(text []byte) int { return len(text) - len(bytes.TrimLeft(text, " \t\r\n")) }

// looksLikeJSON tells JSON from a flow mapping of YAML by the quotes of the first key.
func looksLikeJSON(raw []byte) bool {
	raw = raw[blanks(raw):]
	raw = raw[min(1, len(raw)):]
	return firstByte(raw) == '"'
}

// jsonHeader is what is read of a JSON object at first.
type jsonHeader struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name              string            `json:"name"`
		GenerateName      string            `json:"generateName"`
		Namespace         string            `json:"namespace"`
		UID               string            `json:"uid"`
		CreationTimestamp string            `json:"creationTimestamp"`
		Labels            map[string]string `json:"labels"`
		Annotations       map[string]string `json:"annotations"`
	} `json:"metadata"`
	Items json.RawMessage `json:"items"`
	Spec  json.RawMessage `json:"spec"`
}

// jsonValue keeps one JSON object, or the items of a List; list is the List around it.
func (p *parser) jsonValue(raw []byte, line int, list *jsonHeader) error {
	var h jsonHeader
	if err := sigsjson.UnmarshalCaseSensitivePreserveInts(raw, &h); err != nil {
		return p.tree(document{raw, line}) // which knows the line of what is wrong
	}
	if list != nil && h.Kind == "" && h.APIVersion == "" && list.Kind != "List" {
		h.Kind, h.APIVersion = list.Kind[:len(list.Kind)-len("List")], list.APIVersion
	}
	if h.Kind == "" || h.APIVersion == "" {
		return p.tree(document{raw, line})
	}
	if isListKind(h.Kind) && h.Items != nil || isPlainList(h.APIVersion, h.Kind) {
		if first := firstByte(h.Items); first != '[' && first != 'n' { // a list, or null
			return p.tree(document{raw, line})
		}
		return p.jsonItems(raw, line, &h)
	}
	delete(h.Metadata.Annotations, lastApplied)
	o := &Object{
		APIVersion: p.intern([]byte(h.APIVersion)), Kind: p.intern([]byte(h.Kind)),
		Namespace: p.intern([]byte(h.Metadata.Namespace)), Name: h.Metadata.Name, UID: h.Metadata.UID,
		Labels: h.Metadata.Labels, Annotations: h.Metadata.Annotations,
		Position: Position{p.opts.File, line}, raw: raw, isJSON: true, first: line,
	}
	if at := bytes.Index(raw, h.Spec); len(h.Spec) > 0 && at >= 0 {
		o.inSpec = raw[at : at+len(h.Spec)] // those bytes, or the same ones elsewhere
	}
	if o.Name == "" {
		o.Name = h.Metadata.GenerateName
	}
	if t, err := time.Parse(time.RFC3339, h.Metadata.CreationTimestamp); err == nil {
		o.Created = t.Unix()
	}
	return p.keep(o)
}

// jsonItems keeps the items of a List, each with its own part of the text.
func (p *parser) jsonItems(raw []byte, line int, list *jsonHeader) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if !skipTo(dec, "items") {
		return p.tree(document{raw, line})
	}
	if open, err := dec.Token(); err != nil || open != json.Delim('[') {
		return nil // null
	}
	if err := p.within(Position{p.opts.File, line}); err != nil {
		return err
	}
	defer func() { p.depth-- }()
	counted := 0
	for dec.More() {
		var item json.RawMessage
		if err := dec.Decode(&item); err != nil {
			return jsonError(Position{p.opts.File, line}, raw, dec.InputOffset(), err)
		}
		end := int(dec.InputOffset())
		start := end - len(item)
		line += bytes.Count(raw[counted:start], []byte("\n"))
		counted = start
		if err := p.jsonValue(raw[start:end], line, list); err != nil {
			return err
		}
	}
	return nil
}

// skipTo reads up to the value of a key of the outermost object.
func skipTo(dec *json.Decoder, want string) bool {
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return false
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return false
		}
		if key == want {
			return true
		}
		var skipped json.RawMessage
		if dec.Decode(&skipped) != nil {
			return false
		}
	}
	return false
}
