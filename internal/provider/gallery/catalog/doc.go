// Package catalog holds the documents of galleries, image definitions and image versions, and the rules that need no more
// than a document and its predecessor: names, allowed values, defaults, what may change.
//
// It reads and writes no store and knows no bytes: gallery serves the documents, publish brings a version's bytes.
//
//	request ─▶ Validate… (every fault) ─▶ Settle (defaults, mutability, against the old one) ─▶ gallery writes it
package catalog
