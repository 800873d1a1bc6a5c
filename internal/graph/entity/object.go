package entity

import (
	"github.com/google/uuid"

	"vitrine/internal/directory"
)

// UserKind is what a user is like.
func UserKind() Kind {
	return Kind{"user", []string{"businessPhones", "displayName", "givenName", "id", "jobTitle", "mail", "mobilePhone", "officeLocation",
		"preferredLanguage", "surname", "userPrincipalName"}, userProps(directory.User{})}
}

// User shows a user, and nothing of the password.
func User(u directory.User) *Entity { return New(UserKind(), userProps(u)) }

func userProps(u directory.User) map[string]any {
	creation := any(nil)
	if u.UserType == directory.Guest {
		creation = "Invitation"
	}
	return map[string]any{
		"id": u.ObjectID, "userPrincipalName": u.UserPrincipalName, "displayName": u.DisplayName, "accountEnabled": u.AccountEnabled,
		"userType": u.UserType, "mail": Text(u.Mail), "mailNickname": Text(u.MailNickname), "givenName": Text(u.GivenName), "surname": Text(u.Surname),
		"jobTitle": Text(u.JobTitle), "department": Text(u.Department), "mobilePhone": Text(u.MobilePhone), "officeLocation": Text(u.OfficeLocation),
		"preferredLanguage": Text(u.PreferredLanguage), "usageLocation": Text(u.UsageLocation), "businessPhones": Some(u.BusinessPhones),
		"onPremisesImmutableId": Text(u.ImmutableID), "createdDateTime": Stamp(u.Created), "deletedDateTime": nil, "creationType": creation,
		"externalUserState": Text(u.State), "externalUserStateChangeDateTime": Stamp(u.StateChanged), "passwordProfile": nil,
		"signInSessionsValidFromDateTime": Stamp(u.SessionsFrom), "onPremisesSyncEnabled": nil, "otherMails": []string{}, "proxyAddresses": []string{}, "assignedLicenses": []any{},
	}
}

// GroupKind is what a group is like.
func GroupKind() Kind { return Kind{Name: "group", Sample: groupProps(directory.Group{})} }

// Group shows a group.
func Group(g directory.Group) *Entity { return New(GroupKind(), groupProps(g)) }

func groupProps(g directory.Group) map[string]any {
	return map[string]any{
		"id": g.ObjectID, "displayName": g.DisplayName, "description": Text(g.Description), "mailNickname": Text(g.MailNickname),
		"mailEnabled": false, "securityEnabled": g.SecurityEnabled, "mail": nil, "createdDateTime": Stamp(g.Created), "renewedDateTime": Stamp(g.Created),
		"deletedDateTime": nil, "classification": nil, "creationOptions": []string{}, "expirationDateTime": nil, "groupTypes": []string{},
		"isAssignableToRole": nil, "membershipRule": nil, "membershipRuleProcessingState": nil, "onPremisesDomainName": nil,
		"onPremisesLastSyncDateTime": nil, "onPremisesNetBiosName": nil, "onPremisesSamAccountName": nil, "onPremisesSecurityIdentifier": nil,
		"onPremisesSyncEnabled": nil, "onPremisesProvisioningErrors": []any{}, "preferredDataLocation": nil, "preferredLanguage": nil,
		"proxyAddresses": []string{}, "resourceBehaviorOptions": []string{}, "resourceProvisioningOptions": []string{}, "securityIdentifier": nil,
		"serviceProvisioningErrors": []any{}, "theme": nil, "uniqueName": nil, "visibility": nil,
	}
}

// RoleID is a directory role's object ID in a tenant. It follows from both, so that it need not be kept.
func RoleID(tenantID string, r directory.Role) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte("directoryRole|"+tenantID+"|"+r.Template)).String()
}

func roleProps(tenantID string, r directory.Role) map[string]any {
	return map[string]any{"id": RoleID(tenantID, r), "deletedDateTime": nil, "description": r.Description, "displayName": r.Name, "roleTemplateId": r.Template}
}

// RoleKind is what a directory role is like.
func RoleKind() Kind {
	return Kind{Name: "directoryRole", Sample: roleProps("", directory.Role{})}
}

// Role shows a directory role.
func Role(tenantID string, r directory.Role) *Entity {
	return New(RoleKind(), roleProps(tenantID, r))
}

// ObjectKind is what any directory object is like.
func ObjectKind() Kind {
	sample := map[string]any{}
	for _, k := range []Kind{UserKind(), GroupKind(), PrincipalKind(), ApplicationKind()} {
		for name, v := range k.Sample {
			sample[name] = v
		}
	}
	return Kind{Name: "directoryObject", Sample: sample}
}

// Organization shows a tenant. domains has its initial one first.
func Organization(t directory.Tenant, domains []directory.Domain) *Entity {
	verified := []map[string]any{}
	for _, d := range domains {
		verified = append(verified, map[string]any{"name": d.Name, "type": "Managed", "capabilities": "", "isDefault": d.Initial, "isInitial": d.Initial})
	}
	props := map[string]any{"id": t.ID, "displayName": t.Name, "createdDateTime": Stamp(t.Created), "deletedDateTime": nil, "tenantType": "AAD",
		"verifiedDomains": verified, "city": nil, "country": nil, "countryLetterCode": nil, "state": nil, "street": nil, "postalCode": nil, "preferredLanguage": nil,
		"defaultUsageLocation": nil, "businessPhones": []string{}, "technicalNotificationMails": []string{}, "onPremisesSyncEnabled": nil,
		"assignedPlans": []any{}, "provisionedPlans": []any{}}
	return New(Kind{Name: "organization", Sample: props}, props)
}

// DomainKind is what a domain is like.
func DomainKind() Kind { return Kind{Name: "domain", Sample: domainProps(directory.Domain{})} }

// Domain shows a domain of the tenant.
func Domain(d directory.Domain) *Entity { return New(DomainKind(), domainProps(d)) }

func domainProps(d directory.Domain) map[string]any {
	return map[string]any{"id": d.Name, "isDefault": d.Initial, "isInitial": d.Initial, "isVerified": true, "authenticationType": "Managed", "isRoot": true}
}
