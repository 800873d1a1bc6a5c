// Package directory drives Microsoft Graph with the real az: a table of "az ad" and "az role" commands, each run against a server of its
// own and judged by what az prints.
package directory
