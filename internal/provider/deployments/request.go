package deployments

import (
	"encoding/json"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/provider/deployments/link"
)

// maxTemplate is how large a template or its parameters may be (ARM: 4 MB each).
const maxTemplate = 4 << 20

// request is what a client sends as a deployment's properties.
type request struct {
	Mode              string
	Template          json.RawMessage
	Parameters        json.RawMessage
	TemplateLink      *link.Link
	ParametersLink    *link.Link
	OnErrorDeployment json.RawMessage
	WhatIfSettings    struct{ ResultFormat string }
	Fetched           bool `json:"vitrineFetched"` // see link.Mark: template and parameters came from the links
}

// body is a whole request.
type body struct {
	Location   string
	Tags       map[string]string
	Properties request
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// readRequest reads the body of PUT, validate and what-if, and refuses by name what is not served.
func readRequest(raw json.RawMessage) (body, error) {
	var b body
	if err := json.Unmarshal(raw, &b); err != nil {
		return b, arm.Errorf(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%v'.", err)
	}
	p := b.Properties
	switch {
	case !p.Fetched && p.TemplateLink != nil && given(p.Template):
		return b, arm.Errorf(400, "InvalidRequestContent", "The request content was invalid: a deployment has either a 'template' or a 'templateLink'.").At("templateLink")
	case !p.Fetched && p.ParametersLink != nil && given(p.Parameters) && string(p.Parameters) != "{}":
		return b, arm.Errorf(400, "InvalidRequestContent", "The request content was invalid: a deployment has either 'parameters' or a 'parametersLink'.").At("parametersLink")
	case !strings.EqualFold(p.Mode, incremental) && !strings.EqualFold(p.Mode, complete):
		return b, arm.Errorf(400, "InvalidRequestContent", "The request content was invalid: the property 'mode' must be 'Incremental' or 'Complete'; it is '%.80s'.", p.Mode).At("mode")
	case !given(p.Template):
		return b, arm.Errorf(400, "InvalidTemplate", "Deployment template validation failed: 'The template is missing from the request.'.").At("template")
	case len(p.Template) > maxTemplate || len(p.Parameters) > maxTemplate:
		return b, arm.Errorf(413, "RequestContentTooLarge", "The template or the parameters are larger than the limit of %d bytes.", maxTemplate)
	}
	b.Properties.Mode = incremental
	if strings.EqualFold(p.Mode, complete) {
		b.Properties.Mode = complete
	}
	return b, nil
}

// The modes of a deployment.
const (
	incremental = "Incremental"
	complete    = "Complete"
)
