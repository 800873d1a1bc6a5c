// Package deploy drives what stands around resources with the real az: deployments at every scope with what-if, groups, generic
// resources, tags and providers. One server, a tenant and an az of its own for each table, two tables at a time;
// where Debian 12's az 2.45 is installed, it walks the same tables.
// docs/compatibility/resources.md is written from these tables.
package deploy
