// Package gallery drives the sharing of galleries with the real az: direct shares, the community, invites, Resource Graph and gallery
// applications, with a publisher and a consumer in tenants of their own. docs/compatibility/sharing.md is written from these tables.
// TestDebian is what Debian 12's az 2.45 can of disks, snapshots and galleries.
package gallery
