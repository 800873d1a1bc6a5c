package veil

import (
	"errors"

	"vitrine/internal/arm"
	"vitrine/internal/template"
)

// violation is ARM's additionalInfo of a template's fault.
type violation struct {
	Line     int    `json:"lineNumber"`
	Position int    `json:"linePosition"`
	Path     string `json:"path"`
}

// Worded makes an error of ARM of a template's fault.
func Worded(e *template.Error) *arm.Error {
	out := arm.Errorf(400, e.Code, "%s", e.Message).At(e.Target)
	if e.Code == template.CodeInvalidTemplate {
		out.AdditionalInfo = []arm.Info{{Type: "TemplateViolation", Info: violation{e.Line, e.Position, e.Path}}}
	}
	return out
}

// Visible words an error of package template; any other stays as it is.
func Visible(err error) error {
	if fault, ok := errors.AsType[*template.Error](err); ok {
		return Worded(fault)
	}
	return err
}

// Violations makes one error of all faults of a template.
func Violations(faults []*template.Error) error {
	all := make([]*arm.Error, len(faults))
	for i, f := range faults {
		all[i] = Worded(f)
	}
	err := arm.Join(all)
	if joined, ok := errors.AsType[*arm.Error](err); ok {
		joined.AdditionalInfo = all[0].AdditionalInfo
	}
	return err
}
