package arm

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Error is the error of Azure Resource Manager and of its providers, as a client reads it. Cause is for the log only.
type Error struct {
	Status         int    // HTTP status, 400 to 599; 0 means 400
	Code           string // such as "ResourceNotFound"; clients compare it
	Message        string
	Target         string // the offending property, as a path
	Details        []*Error
	AdditionalInfo []Info
	Header         map[string]string // further response headers, such as WWW-Authenticate
	Cause          error
}

// Info is one entry of additionalInfo.
type Info struct {
	Type string `json:"type"`
	Info any    `json:"info"`
}

// Errorf makes an Error.
func Errorf(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// At returns e with the offending property named.
func (e *Error) At(target string) *Error { e.Target = target; return e }

// Because returns e with a cause that only the log shows.
func (e *Error) Because(cause error) *Error { e.Cause = cause; return e }

func (e *Error) Error() string {
	s := e.Code + ": " + e.Message
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap gives the private cause.
func (e *Error) Unwrap() error { return e.Cause }

type wireError struct {
	Code           string       `json:"code"`
	Message        string       `json:"message"`
	Target         string       `json:"target,omitempty"`
	Details        []*wireError `json:"details,omitempty"`
	AdditionalInfo []Info       `json:"additionalInfo,omitempty"`
}

func (e *Error) wire() *wireError {
	w := &wireError{Code: e.Code, Message: e.Message, Target: e.Target, AdditionalInfo: e.AdditionalInfo}
	for _, d := range e.Details {
		w.Details = append(w.Details, d.wire())
	}
	return w
}

// MarshalJSON gives the inner object: {"code","message","target"?,"details"?,"additionalInfo"?}.
func (e *Error) MarshalJSON() ([]byte, error) { return json.Marshal(e.wire()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *Error) UnmarshalJSON(b []byte) error {
	var w wireError
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*e = *w.error()
	return nil
}

func (w *wireError) error() *Error {
	e := &Error{Code: w.Code, Message: w.Message, Target: w.Target, AdditionalInfo: w.AdditionalInfo}
	for _, d := range w.Details {
		if d != nil {
			e.Details = append(e.Details, d.error())
		}
	}
	return e
}

// Render gives the ARM envelope {"error":{…}}.
func (e *Error) Render() (status int, contentType string, body []byte) {
	status = e.Status
	if status == 0 {
		status = 400
	}
	body, err := json.Marshal(map[string]any{"error": e})
	if err != nil { // only an AdditionalInfo that cannot be JSON
		return 500, "application/json; charset=utf-8", []byte(`{"error":{"code":"InternalServerError","message":"The error could not be written."}}`)
	}
	return status, "application/json; charset=utf-8", body
}

// maxFaults bounds an answer: a body of 4 MiB can have a hundred thousand faults.
const maxFaults = 100

// Join makes one error of several faults of a request: none gives nil, one stays as it is, more become details of the
// first one's code, as Compute reports a body with several faults.
func Join(faults []*Error) error {
	switch len(faults) {
	case 0:
		return nil
	case 1:
		return faults[0]
	}
	faults = faults[:min(len(faults), maxFaults)]
	messages := make([]string, len(faults))
	for i, f := range faults {
		messages[i] = f.Message
	}
	return &Error{Status: faults[0].Status, Code: faults[0].Code, Target: faults[0].Target,
		Message: strings.Join(messages, "\n"), Details: faults}
}

// Internal is what a caller sees of a fault of ours; the request id finds it in the log.
func Internal(requestID string, cause error) *Error {
	return Errorf(500, "InternalServerError",
		"The server met an internal error. The request id is %s.", requestID).Because(cause)
}

// Headers gives the further response headers; a door sets them.
func (e *Error) Headers() map[string]string { return e.Header }
