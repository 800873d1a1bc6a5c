// Package login is the door of the token service: what login.microsoftonline.com, login.windows.net and sts.windows.net
// answer.
//
// It owns the paths under a tenant, the discovery documents, the form of token requests and replies in both versions of
// the endpoint, and Entra's dialect of errors (AADSTS codes). It keeps nothing: directory knows clients and their
// secrets, token makes what is handed out. A token request passes like this:
//
//	POST /{tenant}/oauth2[/v2.0]/token
//	 │ form: size, duplicates, required parameters       900144, 9002313
//	 ▼ tenant                                            90002, 900023, 9001023, 50059
//	 ▼ grant: one function per grant_type                70003
//	 ▼ client: application, service principal, secret    700016, 7000229, 700025, 7000218, 7000215, 7000222, 7000112
//	 ▼ resource or scope                                 70011, 1002012, 500011
//	 ▼ token.Issue ── one line in the log ── reply of v1 (numbers as strings) or v2
//
// Ways to sign in that are not there yet (browser, device code, passwords, certificates) are refused by name.
package login
