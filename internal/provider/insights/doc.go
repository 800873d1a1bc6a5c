// Package insights is the provider Microsoft.Insights as far as it is the activity log: eventtypes/management/values.
//
// It owns the form in which Azure shows events, its filter and its pages. The events are of package audit, which this
// package only reads; a tenant's own log of sign-ins and of the operator's acts is at the tenant's scope.
//
//	GET …/eventtypes/management/values?$filter=… ─▶ rbac ─▶ filter ─▶ audit.List ─▶ one or two lines for each event ─▶ page
package insights
