package template

import (
	"errors"
	"fmt"
	"strings"

	"vitrine/internal/template/tree"
)

// Codes of Error.
const (
	// CodeInvalidTemplate is ARM's code for every fault of a template, circular dependencies included: the text
	// "Circular dependency detected on resource" comes with InvalidTemplate in the errors that users report.
	CodeInvalidTemplate = "InvalidTemplate"
	// CodeInvalidRequestContent is ARM's code for a body that is no JSON.
	CodeInvalidRequestContent = "InvalidRequestContent"
)

// Error is a fault made for the template's author to read. Line and Position count from 1 and are 0 if unknown; Path is
// where in the request the fault lies, such as properties.template.resources[0].name. ARM answers the three as
// additionalInfo of type TemplateViolation with lineNumber, linePosition and path.
type Error struct {
	Code     string
	Message  string
	Target   string
	Line     int
	Position int
	Path     string
}

// Error returns code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// invalid makes the error that ARM's template validation gives.
func invalid(at tree.Place, format string, args ...any) *Error {
	return &Error{
		Code:     CodeInvalidTemplate,
		Message:  "Deployment template validation failed: '" + sentence(fmt.Sprintf(format, args...)) + "'.",
		Line:     at.Line,
		Position: at.Column,
		Path:     at.Path.String(),
	}
}

// unprocessable makes the error that ARM gives for an expression that cannot be evaluated. what names its owner, such as
// "resource '/subscriptions/…'".
func unprocessable(what string, at tree.Place, cause error) *Error {
	var known *Error
	if errors.As(cause, &known) {
		return known
	}
	return &Error{
		Code: CodeInvalidTemplate,
		Message: fmt.Sprintf("Unable to process template language expressions for %s at line '%d' and column '%d'. '%s'",
			what, at.Line, at.Column, sentence(cause.Error())),
		Line: at.Line, Position: at.Column, Path: at.Path.String(),
	}
}

// sentence ends s with a full stop, as ARM's messages do inside their quotes.
func sentence(s string) string { return strings.TrimSuffix(s, ".") + "." }
