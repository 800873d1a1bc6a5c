// Package login is the door of the token service: what login.microsoftonline.com, login.windows.net and sts.windows.net
// answer.
//
// It owns the paths under a tenant, the discovery documents, the form of requests and replies in both versions of the
// endpoints, and what a browser needs: cookies, forms that cannot be forged, redirects that lead only to registered
// addresses. Who may have a token is decided in login/grant, pages are drawn in login/page, errors are login/aadsts.
// A token request and a visit pass like this:
//
//	POST /{tenant}/oauth2[/v2.0]/token
//	 │ form: size, duplicates, required parameters       900144, 9002313
//	 ▼ grant type known?                                 70003
//	 ▼ tenant                                            90002, 900023, 9001023, 50059
//	 ▼ grant.Token ── reply of v1 (numbers as strings) or v2
//
//	GET /{tenant}/oauth2[/v2.0]/authorize, /{tenant}[/v2.0]/adminconsent
//	 │ enter: application, tenant, redirect URI          700016, 50194, 50011: a page, never a redirect
//	 ▼ check: response type and mode, PKCE               from here on the application is told
//	 ▼ account: session, or the sign-in page             50126, 50053, 50034, 50057, 50020
//	 ▼ allow: consent given, or the consent page         90094, 65004, 650052
//	 ▼ code, by query, fragment or form
package login
