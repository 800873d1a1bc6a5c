// Package kql reads and runs the queries of Azure Resource Graph: the part of Kusto's language that asks one table of documents.
//
// It is pure: a query is text, a table is rows of decoded JSON, and the answer is columns and rows. It knows no resource, no right
// and no HTTP; graphquery brings the rows that a caller may see. What it does not know is refused by name.
//
//	text ─▶ lex ─▶ parse ─▶ Query ─▶ Run(rows): where ─▶ extend ─▶ project ─▶ sort ─▶ take …, in the order of the pipe
package kql
