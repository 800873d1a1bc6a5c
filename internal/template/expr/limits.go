package expr

// Limits. Those marked ARM are Azure's published template limits; the others bound the work of a hostile template.
const (
	// MaxIterations of one copy loop (ARM).
	MaxIterations = 800

	maxExpression = 24576   // ARM: characters of one expression
	maxSteps      = 4 << 20 // values and sixteenths of text that one Evaluator may handle
	objectCost    = 4       // steps that an object, or a member of one being made, counts for: they take more memory
)
