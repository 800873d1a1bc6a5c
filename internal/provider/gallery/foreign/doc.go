// Package foreign shows galleries to those they are shared with: the consumer's side of direct sharing and of community galleries.
//
// It serves Microsoft.Compute/locations/sharedGalleries and communityGalleries, the invites to shared galleries, and finds the
// version that an ID such as /SharedGalleries/{gallery}/Images/{image}/Versions/{version} means for a subscription. It does not
// change a gallery (share does), and tells of one only what is for consumers: never the publisher's resource group, tenant or
// sources, and of a community gallery not its subscription either.
//
//	GET …/locations/{region}/sharedGalleries/… ─▶ rbac in the consumer's subscription ─▶ shared with it or its tenant? ─▶ invite ─▶ view
//	machine, disk, version ── Version(subscription, ID, region) ─▶ the same gate ─▶ exact version
//
// With whom a gallery is shared is read in the request's own transaction each time: what is taken away is gone at once.
package foreign
