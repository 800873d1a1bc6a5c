// Package graphquery serves Azure Resource Graph: queries over the resources of all subscriptions that a caller may see.
//
// It owns no document and no language: kql reads and runs queries, and what the community shows of itself is given by the galleries.
// It brings the rows, each of which the caller may read, in the forms of Resource Graph.
//
//	POST /providers/Microsoft.ResourceGraph/resources ─▶ kql.Parse ─▶ table: rbac, document by document ─▶ Query.Run ─▶ page
package graphquery
