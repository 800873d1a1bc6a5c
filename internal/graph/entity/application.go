package entity

import (
	"encoding/base64"
	"encoding/hex"

	"vitrine/internal/directory"
)

// ApplicationKind is what a registration is like.
func ApplicationKind() Kind {
	return Kind{Name: "application", Sample: applicationProps(directory.Application{}, "")}
}

// Application shows a registration; domain is the tenant's first.
func Application(a directory.Application, domain string) *Entity {
	return New(ApplicationKind(), applicationProps(a, domain))
}

// applicationProps is a registration as Graph shows it, nulls included.
func applicationProps(a directory.Application, domain string) map[string]any {
	var version, public any
	if a.TokenVersion > 0 {
		version = a.TokenVersion
	}
	if a.PublicClient {
		public = true
	}
	return map[string]any{
		"id": a.ObjectID, "appId": a.AppID, "deletedDateTime": nil, "createdDateTime": Stamp(a.Created), "displayName": a.DisplayName,
		"description": Text(a.Description), "notes": Text(a.Notes), "signInAudience": a.SignInAudience, "identifierUris": Some(a.IdentifierURIs),
		"isFallbackPublicClient": public, "publisherDomain": Text(domain), "tags": Some(a.Tags), "groupMembershipClaims": Text(a.GroupClaims),
		"applicationTemplateId": nil, "disabledByMicrosoftStatus": nil, "isDeviceOnlyAuthSupported": nil, "serviceManagementReference": nil,
		"tokenEncryptionKeyId": nil, "uniqueName": nil, "samlMetadataUrl": nil, "defaultRedirectUri": nil, "certification": nil,
		"optionalClaims": nil, "servicePrincipalLockConfiguration": nil, "requestSignatureVerification": nil, "addIns": []any{},
		"api": map[string]any{"acceptMappedClaims": nil, "knownClientApplications": []any{}, "requestedAccessTokenVersion": version,
			"oauth2PermissionScopes": Some(a.Scopes), "preAuthorizedApplications": []any{}},
		"appRoles": Some(a.AppRoles), "requiredResourceAccess": Some(a.Requires),
		"info":           map[string]any{"logoUrl": nil, "marketingUrl": nil, "privacyStatementUrl": nil, "supportUrl": nil, "termsOfServiceUrl": nil},
		"keyCredentials": keys(a.Certificates), "passwordCredentials": passwords(a.Secrets),
		"parentalControlSettings": map[string]any{"countriesBlockedForMinors": []any{}, "legalAgeGroupRule": "Allow"},
		"publicClient":            map[string]any{"redirectUris": Some(a.Native)},
		"spa":                     map[string]any{"redirectUris": Some(a.SPA)},
		"verifiedPublisher":       map[string]any{"displayName": nil, "verifiedPublisherId": nil, "addedDateTime": nil},
		"web": map[string]any{"homePageUrl": Text(a.Web.HomePage), "logoutUrl": Text(a.Web.Logout), "redirectUris": Some(a.Web.RedirectURIs),
			"redirectUriSettings":   []any{},
			"implicitGrantSettings": map[string]any{"enableAccessTokenIssuance": a.Web.ImplicitToken, "enableIdTokenIssuance": a.Web.ImplicitID}},
	}
}

// passwords never shows more of a secret than its first three characters.
func passwords(secrets []directory.Secret) []map[string]any {
	out := []map[string]any{}
	for _, s := range secrets {
		out = append(out, Password(s, nil))
	}
	return out
}

// Password shows a secret; its text is nil but at the moment when it is made.
func Password(s directory.Secret, text any) map[string]any {
	return map[string]any{"customKeyIdentifier": nil, "displayName": s.DisplayName, "endDateTime": Stamp(s.End), "hint": s.Hint,
		"keyId": s.KeyID, "secretText": text, "startDateTime": Stamp(s.Start)}
}

// keys shows certificates without their bytes, as a list does in Graph; the custom key identifier is the thumbprint.
func keys(certificates []directory.Certificate) []map[string]any {
	out := []map[string]any{}
	for _, c := range certificates {
		sum, err := hex.DecodeString(c.Thumbprint())
		if err != nil {
			sum = nil // a thumbprint is hexadecimal
		}
		out = append(out, map[string]any{"customKeyIdentifier": base64.StdEncoding.EncodeToString(sum), "displayName": Text(c.DisplayName),
			"endDateTime": Stamp(c.End), "key": nil, "keyId": c.KeyID, "startDateTime": Stamp(c.Start), "type": "AsymmetricX509Cert", "usage": "Verify"})
	}
	return out
}

// PrincipalKind is what a service principal is like.
func PrincipalKind() Kind {
	return Kind{Name: "servicePrincipal", Sample: principalProps(directory.ServicePrincipal{}, directory.Application{})}
}

// Principal shows a service principal with what it takes from its application (the zero Application when that is gone).
func Principal(sp directory.ServicePrincipal, a directory.Application) *Entity {
	return New(PrincipalKind(), principalProps(sp, a))
}

func principalProps(sp directory.ServicePrincipal, a directory.Application) map[string]any {
	replies := append(append(append([]string{}, a.Web.RedirectURIs...), a.SPA...), a.Native...)
	return map[string]any{
		"id": sp.ObjectID, "appId": sp.AppID, "deletedDateTime": nil, "createdDateTime": Stamp(sp.Created), "displayName": sp.DisplayName,
		"appDisplayName": sp.DisplayName, "accountEnabled": sp.AccountEnabled, "appOwnerOrganizationId": sp.HomeTenant,
		"appRoleAssignmentRequired": sp.AssignmentRequired, "servicePrincipalType": "Application", "signInAudience": Text(a.SignInAudience),
		"servicePrincipalNames": append([]string{sp.AppID}, a.IdentifierURIs...), "replyUrls": replies, "tags": Some(sp.Tags),
		"notes": Text(sp.Notes), "description": Text(sp.Description), "appDescription": Text(a.Description), "homepage": Text(a.Web.HomePage), "logoutUrl": Text(a.Web.Logout),
		"appRoles": Some(a.AppRoles), "oauth2PermissionScopes": Some(a.Scopes), "passwordCredentials": passwords(sp.Secrets), "keyCredentials": keys(sp.Certificates),
		"alternativeNames": []string{}, "applicationTemplateId": nil, "disabledByMicrosoftStatus": nil, "loginUrl": nil,
		"notificationEmailAddresses": []string{}, "preferredSingleSignOnMode": nil, "preferredTokenSigningKeyThumbprint": nil,
		"samlSingleSignOnSettings": nil, "tokenEncryptionKeyId": nil, "addIns": []any{}, "resourceSpecificApplicationPermissions": []any{},
		"info":              map[string]any{"logoUrl": nil, "marketingUrl": nil, "privacyStatementUrl": nil, "supportUrl": nil, "termsOfServiceUrl": nil},
		"verifiedPublisher": map[string]any{"displayName": nil, "verifiedPublisherId": nil, "addedDateTime": nil},
	}
}

// FederatedKind is what a federated credential is like.
func FederatedKind() Kind {
	return Kind{Name: "federatedIdentityCredential", Sample: FederatedProps(directory.FederatedCredential{})}
}

// FederatedProps shows a federated credential.
func FederatedProps(f directory.FederatedCredential) map[string]any {
	return map[string]any{"id": f.ID, "name": f.Name, "issuer": f.Issuer, "subject": f.Subject, "description": Text(f.Description),
		"audiences": Some(f.Audiences), "claimsMatchingExpression": nil}
}
