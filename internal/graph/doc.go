// Package graph is the door graph.microsoft.com: the part of Microsoft Graph v1.0 that az, Terraform and the SDKs use to manage applications,
// service principals, users, groups, guests and directory roles.
//
// It owns the paths, the JSON of Graph's entities and who may do what over them; the directory owns the objects and their rules.
// Every request is one transaction:
//
//	request ─▶ authn (audience Graph) ─▶ route ─▶ tx: caller's directory roles ─▶ access rule ─▶ directory ─▶ entity ─▶ JSON
//
// What Graph has and this door has not is refused by name, with status 501; the beta endpoint too.
package graph
