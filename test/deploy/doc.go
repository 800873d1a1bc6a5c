// Package deploy drives what stands around resources with the real az: deployments at every scope with what-if, groups, generic
// resources, tags and providers. One server, a tenant and an az of its own for each table, two tables at a time.
// docs/compatibility/resources.md is written from these tables.
package deploy
