# Turns the events of go test -json into what a person wants to read. A test's output is held back until its end: shown when
# it failed or was left out, dropped when it passed. Output of a package or of the compiler is shown as it comes. A process that
# hung, exited or was killed ends no test: what its tests had said until then is shown when their package fails.
foreach inputs as $e ({held: {}};
	(($e.Package // "") + " " + ($e.Test // "")) as $name
	| .say = ""
	| if $e.Action == "build-output" then .say = $e.Output
	  elif $e.Test == null and $e.Action == "fail" then
		(.held | with_entries(select(.key | startswith($name)))) as $cut
		| .say = ([$cut[]] | join("")) | .held |= with_entries(select(.key | in($cut) | not))
	  elif $e.Test == null then
		(if $e.Action == "output" and ($e.Output | test("^(PASS|testing: warning: no tests|coverage:)") | not) then .say = $e.Output else . end)
	  elif $e.Action == "output" then
		.held[$name] = ((.held[$name] // "") + (if $e.Output | test("^ *=== ") then "" else $e.Output end))
	  elif $e.Action == "fail" or $e.Action == "skip" then .say = (.held[$name] // "") | .held |= del(.[$name])
	  elif $e.Action == "pass" then .held |= del(.[$name])
	  else . end;
	.say)
