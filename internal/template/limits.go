package template

// ARM's published limits of templates. What bounds the work of expressions stands in package expr.
const (
	maxParameters  = 256
	maxVariables   = 256
	maxDefinitions = 256 // no limit of ARM's is published
	maxResources   = 800 // copies counted
	maxOutputs     = 64
	maxName        = 255 // characters of a parameter's, variable's or output's name
)
