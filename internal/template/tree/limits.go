package tree

const (
	// MaxDepth is how deep documents, values and expressions may nest.
	MaxDepth = 128
	// MaxBytes is how long a document may be: ARM takes a template of 4 MiB, and its parameters.
	MaxBytes = 8 << 20
)
