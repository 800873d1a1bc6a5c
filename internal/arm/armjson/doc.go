// Package armjson reads and writes resource models the way Azure Resource Manager does: member names without regard to
// case, null as absent, unknown members kept and echoed, enum values brought to their canonical case, read-only members
// of a request dropped, secrets withheld from answers, every fault found in one pass.
//
// A model is a struct. The tag json gives a member's canonical name, the tag arm its rules, separated by commas:
//
//	readonly      set by the server; ignored in requests, shown in answers
//	private       the server's own; neither read from requests nor shown
//	secret        read from requests, stored (the provider seals it), never shown
//	required      must be present and not null
//	immutable     may not change once the resource exists
//	always        shown even when zero
//	enum=A|B      allowed values
//	default=V     what an absent string becomes
//
// A field of type Unknown holds the members that the model does not name.
//
//	request ──Decode/Merge──▶ model ──Store──▶ document ──Load──▶ model ──Wire──▶ answer
package armjson
