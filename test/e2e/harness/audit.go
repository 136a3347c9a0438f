package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// AuditEvent is a line of the API server's audit log: one request, with its body.
type AuditEvent struct {
	Verb       string `json:"verb"`
	RequestURI string `json:"requestURI"` // as the client sent it, the command of an exec included
	User       struct {
		Username string `json:"username"`
	} `json:"user"`
	UserAgent string `json:"userAgent"`
	Object    struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	Response struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	RequestObject json.RawMessage `json:"requestObject"`
}

// AuditMark is where the audit log ends now, for AuditSince.
func (r *Rig) AuditMark() (int64, error) {
	s, err := os.Stat(r.auditLog())
	if err != nil {
		return 0, fmt.Errorf("read the audit log: %w", err)
	}
	return s.Size(), nil
}

func (r *Rig) auditLog() string { return filepath.Join(r.Dir, "audit.log") }

// AuditSince is what was logged after a mark (0: everything), and the same as the
// text of the log. The server writes a request's line when the request ends.
func (r *Rig) AuditSince(mark int64) ([]AuditEvent, []byte, error) {
	text, err := os.ReadFile(r.auditLog())
	if err != nil {
		return nil, nil, fmt.Errorf("read the audit log: %w", err)
	}
	text = text[min(mark, int64(len(text))):]
	var events []AuditEvent
	for line := range bytes.Lines(text) {
		var e AuditEvent
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // it is being written
		}
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, nil, fmt.Errorf("read the audit log: %w: %.200q", err, line)
		}
		events = append(events, e)
	}
	return events, text, nil
}
