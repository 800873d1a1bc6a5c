# Lists the tests that were skipped in a stream of go test -json, each with what it said about why.
reduce inputs as $e ({said: {}, lines: []};
	(($e.Package // "") + " " + ($e.Test // "")) as $name
	| if $e.Test == null then .
	  elif $e.Action == "output" and ($e.Output | test("^ *(===|---) ") | not) then
		.said[$name] = ((.said[$name] // "") + " " + ($e.Output | gsub("^\\s+|\\s+$"; "") | sub("^[\\w./-]+_?test\\.go:\\d+: "; "")))
	  elif $e.Action == "skip" then .lines += [$name + ":" + (.said[$name] // " it gave no reason")] | del(.said[$name])
	  elif $e.Action == "pass" or $e.Action == "fail" then del(.said[$name])
	  else . end)
| .lines[]
