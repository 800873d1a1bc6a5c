// Package share changes with whom a gallery is shared: the publisher's side of direct sharing and of community galleries.
//
// It serves the actions share and shareWhatIf of a gallery, settles the sharing profile of a PUT, and shows it. It does not know
// how a gallery is seen by those it is shared with (foreign does), and keeps no document of its own: with whom a gallery is shared
// stands in the gallery's document, so a change counts at once, in every server.
//
//	POST share ─▶ read ─▶ changed: the profile as it would be ─▶ policy: does it break what others use? ─▶ saved, 202
//	POST shareWhatIf ─▶ read ─▶ changed ─▶ what would break, by consumer ─▶ 200
package share
