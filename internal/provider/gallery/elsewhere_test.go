package gallery_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// elsewhere are the rows of the reference's sections 4 to 7 and 11 that do not speak of a gallery, a definition or a version: what
// other packages answer. A row names the package, the test, and what the test asserts; or it does not
// apply; or it is uncovered, and says so.
var elsewhere = []struct{ name, folder, test, says, omitted string }{
	{"4 ImageNotFound", "../../app", "TestSources", `"ImageNotFound"`, ""}, {"4 PlatformImageNotFound", "../machine", "TestRefused", "PlatformImageNotFound", ""},
	{"4 osProfile of a specialized image", "../machine", "TestSpecialized", "osProfile", ""}, {"4 osProfile missing", "../machine", "TestRefused", "osProfile", ""},
	{"4 scale sets: osProfile", "", "", "", "there are no scale sets"}, {"4 scale sets: type of the image", "", "", "", "there are no scale sets"},
	{"4 VMMarketplaceInvalidInput", "", "", "", "there is no marketplace"}, {"4 DES subscription", "", "", "", "no encryption with a customer's key"},
	{"4 SkuNotAvailable", "", "", "", "each region has each size"}, {"4 AllocationFailed", "../../app", "TestMostMachines", "refused(t, l.Start", ""}, {"4 architecture against size", "../machine", "TestRefused", "Arm64", ""}, {"4 generation against size", "", "", "", "each size boots both generations"}, {"4 slow creation", "", "", "", "no error"},
	{"4 InvalidResourceReference", "../machine", "TestRefused", "InvalidResourceReference", ""},
	{"4 OperationNotAllowedOnVMImageAsVMsBeingProvisioned", "", "", "", "a disk pins the bytes of its image, so that deleting the image does not wait"},
	{"5 AuthorizationFailed", "../../control", "TestTheOrderOfChecks", "AuthorizationFailed", ""}, {"5 DenyAssignmentAuthorizationFailed", "../authorization", "TestDenyAssignments", "DenyAssignmentAuthorizationFailed", ""},
	{"5 ScopeLocked", "../authorization", "TestLocks", "ScopeLocked", ""}, {"5 RequestDisallowedByPolicy", "", "", "", "there are no policies"},
	{"5 RoleAssignmentExists", "../authorization", "TestRefusals", "RoleAssignmentExists", ""}, {"5 RoleAssignmentUpdateNotPermitted", "../authorization", "TestRefusals", "RoleAssignmentUpdateNotPermitted", ""},
	{"5 PrincipalNotFound", "../authorization", "TestRefusals", `"PrincipalNotFound"`, ""}, {"5 UnmatchedPrincipalType", "../authorization", "TestRefusals", "UnmatchedPrincipalType", ""},
	{"5 RoleAssignmentLimitExceeded", "../authorization", "TestTheLimit", "RoleAssignmentLimitExceeded", ""}, {"5 RoleDefinitionDoesNotExist", "../authorization", "TestRefusals", "RoleDefinitionDoesNotExist", ""},
	{"5 RoleDefinitionHasAssignments", "../authorization", "TestCustomRoles", "RoleDefinitionHasAssignments", ""}, {"5 InvalidRoleDefinitionId", "../authorization", "TestRefusals", "InvalidRoleDefinitionId", ""},
	{"5 InvalidRoleAssignmentId", "../authorization", "TestRefusals", "InvalidRoleAssignmentId", ""}, {"5 last admin", "../authorization", "TestRootAndLastAdministrator", "last", ""},
	{"5 Authorization_RequestDenied", "../../graph", "TestAccess", "Authorization_RequestDenied", ""},
	{"6 AuthenticationFailed", "../../authn", "TestRefusals", "AuthenticationFailed", ""}, {"6 InvalidAuthenticationToken", "../../authn", "TestRefusals", `"InvalidAuthenticationToken"`, ""},
	{"6 ExpiredAuthenticationToken", "../../authn", "TestRefusals", "ExpiredAuthenticationToken", ""}, {"6 InvalidAuthenticationTokenTenant", "../../authn", "TestWrongTenant", "InvalidAuthenticationTokenTenant", ""},
	{"6 auxiliary token", "../../authn", "TestRefusals", "auxiliary", ""}, {"6 InvalidAuthenticationTokenAudience", "../../authn", "TestRefusals", "InvalidAuthenticationTokenAudience", ""},
	{"7 MissingApiVersionParameter", "../../control", "TestTheOrderOfChecks", "MissingApiVersionParameter", ""}, {"7 InvalidApiVersionParameter", "../../control", "TestTheOrderOfChecks", "InvalidApiVersionParameter", ""},
	{"7 NoRegisteredProviderFound", "../deployments", "TestRefusals", "NoRegisteredProviderFound", ""}, {"7 InvalidResourceType", "../../control", "TestTheOrderOfChecks", "InvalidResourceType", ""},
	{"7 InvalidResourceNamespace", "../../control", "TestTheOrderOfChecks", "InvalidResourceNamespace", ""}, {"7 MissingSubscriptionRegistration", "../resources", "TestRegistration", "MissingSubscriptionRegistration", ""},
	{"7 MissingRegistrationForLocation", "", "", "", "registration is for each region"}, {"7 SubscriptionNotRegistered", "", "", "", "ARM answers MissingSubscriptionRegistration"},
	{"7 SubscriptionNotFound", "../../control", "TestTheOrderOfChecks", "SubscriptionNotFound", ""}, {"7 InvalidSubscriptionId", "../../control", "TestTheOrderOfChecks", "InvalidSubscriptionId", ""},
	{"7 ReadOnlyDisabledSubscription", "", "", "", "subscriptions are not disabled"}, {"7 ResourceGroupNotFound", "../../control", "TestTheOrderOfChecks", "ResourceGroupNotFound", ""},
	{"7 ResourceNotFound", "../../control", "TestTheOrderOfChecks", `"ResourceNotFound"`, ""}, {"7 NotFound", "../../control", "TestTheOrderOfChecks", `"NotFound"`, ""}, {"7 InvalidRequestUri", "../../control", "TestTheOrderOfChecks", "InvalidRequestUri", ""},
	{"7 ResourceGroupBeingDeleted", "../resources", "TestDeleteGroup", "ResourceGroupBeingDeleted", ""}, {"7 ResourceGroupDeletionBlocked", "../resources", "TestDeletionBlocked", "ResourceGroupDeletionBlocked", ""},
	{"7 ResourceGroupDeletionTimeout", "", "", "", "a deletion goes on until it ends"}, {"7 InvalidResourceGroupLocation", "../resources", "TestGroups", "InvalidResourceGroupLocation", ""},
	{"7 LocationRequired", "../../control", "TestFaultsOfABody", "LocationRequired", ""}, {"7 InvalidRequestContent", "../../control", "TestTheOrderOfChecks", "InvalidRequestContent", ""},
	{"7 InvalidRequestFormat", "../network", "TestRefusals", `"InvalidRequestFormat"`, ""}, {"7 UnsupportedMediaType", "../../control", "TestTheDoorRefuses", "UnsupportedMediaType", ""},
	{"7 MethodNotAllowed", "../../control", "TestTheOrderOfChecks", "MethodNotAllowed", ""}, {"7 AnotherOperationInProgress", "", "", "", "the answer is Conflict: section 3, marked for deletion"},
	{"7 PreconditionFailed", "../../control", "TestConditions", "PreconditionFailed", ""}, {"7 ReservedResourceName", "", "", "", "no words are reserved"},
	{"7 InvalidResourceName", "../../control", "TestTheOrderOfChecks", "InvalidResourceName", ""}, {"7 tag limits", "../../control", "TestFaultsOfABody", "InvalidTag", ""},
	{"7 QuotaExceeded", "../disk", "TestQuota", "QuotaExceeded", ""}, {"7 SubscriptionRequestsThrottled", "../../control", "TestRates", "SubscriptionRequestsThrottled", ""},
	{"7 too many requests of Compute", "../../control", "TestRates", `"OperationNotAllowed"`, ""}, {"7 RegionDoesNotAllowProvisioning", "", "", "", "each region takes resources"},
	{"7 InternalServerError", "../../control", "TestTheDoorRefuses", "InternalServerError", ""}, {"7 response over 8 MB", "", "", "", "lists come in pages"},
	{"7 InvalidTemplate", "../deployments", "TestRefusals", `"InvalidTemplate"`, ""}, {"7 InvalidTemplateDeployment", "../deployments", "TestRefusals", "InvalidTemplateDeployment", ""},
	{"7 DeploymentFailed", "../deployments", "TestLinkedAuthorization", `"DeploymentFailed"`, ""}, {"7 DeploymentFailedCleanUp", "../deployments", "TestComplete", "DeploymentFailedCleanUp", ""},
	{"7 ResourceDeploymentFailure", "../deployments", "TestNested", `"ResourceDeploymentFailure"`, ""},
	{"7 InvalidTemplateCircularDependency", "../../template", "TestFaults", "circular reference", ""}, {"7 MismatchingResourceSegments", "../../template", "TestFaults", `"segments"`, ""},
	{"7 JobSizeExceeded", "../deployments", "TestSizes", `"DeploymentJobSizeExceeded"`, ""}, {"7 TooManyTargetResourceGroups", "../deployments", "TestGroupsOfOneDeployment", "TooManyTargetResourceGroups", ""},
	{"7 DeploymentActive", "../deployments", "TestActiveAndCancel", "DeploymentActive", ""}, {"7 DeploymentNotFound", "../deployments", "TestHistory", "DeploymentNotFound", ""},
	{"7 DeploymentQuotaExceeded", "../deployments", "TestHistory", "DeploymentQuotaExceeded", ""}, {"7 DeploymentName…", "../deployments", "TestRefusals", "DeploymentName", ""},
	{"7 InvalidDeploymentLocation", "../deployments", "TestSubscriptionScope", "InvalidDeploymentLocation", ""}, {"7 InvalidContentLink", "../deployments", "TestRefusals", "InvalidContentLink", ""},
	{"11 wording A's subscription", "../../rbac", "TestLinked", "is not authorized to access linked subscription", ""},
	{"11 the text of az", "", "", "", "it is the client's own, and says nothing of a server"},
}

// TestErrorsElsewhere counts those rows, and holds each to the test that it names: the test is there and asserts the text.
func TestErrorsElsewhere(t *testing.T) {
	covered, apply := 0, 0
	for _, e := range elsewhere {
		if strings.HasPrefix(e.omitted, "uncovered: ") {
			t.Logf("%s: %s", e.name, e.omitted)
			apply++
			continue
		}
		if e.omitted != "" {
			t.Logf("not applicable: %s: %s", e.name, e.omitted)
			continue
		}
		apply++
		if !asserts(t, e.folder, e.test, e.says) {
			t.Errorf("%s: no %s in %s asserts %s", e.name, e.test, e.folder, e.says)
			continue
		}
		covered++
	}
	t.Logf("errors of machines, rights, tokens, Resource Manager and deployments: %d of %d that apply are covered; %d of the reference do not apply", covered, apply, len(elsewhere)-apply)
}

// asserts looks into the source of a test.
func asserts(t *testing.T, folder, test, says string) bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no tests in %s: %v", folder, err)
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, after, ok := strings.Cut(string(raw), "\nfunc "+test+"("); ok {
			body, _, _ := strings.Cut(after, "\nfunc ")
			return strings.Contains(body, says)
		}
	}
	return false
}
