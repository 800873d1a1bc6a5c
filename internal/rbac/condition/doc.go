// Package condition reads and evaluates conditions of role assignments (Azure's ABAC, version 2.0).
//
// It owns the grammar, the operators and their three-valued logic: a condition holds only if it is true; an attribute that
// the request does not have makes a comparison unknown, and unknown never grants. It knows no role and no resource; who
// asks brings the attributes.
//
//	text ─▶ Parse ─▶ Expr ─▶ Holds(action, attributes) ─▶ true or not
package condition
