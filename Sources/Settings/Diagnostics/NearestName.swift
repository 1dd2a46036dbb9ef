/// Finds what the writer of a file probably meant to type.
enum NearestName {
    /// The candidate closest to `word`, if any is close enough to be a likely slip.
    static func find(_ word: String, among candidates: some Sequence<String>) -> String? {
        let folded = Self.fold(word)
        guard folded.count <= 64 else { return nil }
        var best: (name: String, distance: Int)?
        for candidate in candidates {
            let distance = Self.distance(Array(folded), Array(Self.fold(candidate)))
            guard distance <= max(1, candidate.count / 3) else { continue }
            if let current = best, current.distance <= distance { continue }
            best = (candidate, distance)
        }
        return best?.name
    }

    /// `Did you mean "mode"?`, or `Known here: …`.
    static func advice(_ word: String, among candidates: [String], noun: String) -> String {
        if let nearest = Self.find(word, among: candidates) {
            return "Did you mean \"\(nearest)\"?"
        }
        return "\(noun): \(candidates.joined(separator: ", "))."
    }

    /// Spelling variants of one name (`helloBytes`, `hello_bytes`, `Hello-Bytes`) fold to the same text.
    private static func fold(_ name: String) -> String {
        String(name.lowercased().filter { $0 != "-" && $0 != "_" && $0 != " " })
    }

    /// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
    private static func distance(_ left: [Character], _ right: [Character]) -> Int {
        if left.isEmpty || right.isEmpty { return max(left.count, right.count) }
        var rows: [[Int]] = Array(
            repeating: Array(repeating: 0, count: right.count + 1), count: left.count + 1)
        for row in 0...left.count { rows[row][0] = row }
        for column in 0...right.count { rows[0][column] = column }
        for row in 1...left.count {
            for column in 1...right.count {
                let cost = left[row - 1] == right[column - 1] ? 0 : 1
                var value: Int = min(rows[row - 1][column] + 1, rows[row][column - 1] + 1)
                value = min(value, rows[row - 1][column - 1] + cost)
                let swapped: Bool =
                    row > 1 && column > 1 && left[row - 1] == right[column - 2] && left[row - 2] == right[column - 1]
                if swapped { value = min(value, rows[row - 2][column - 2] + 1) }
                rows[row][column] = value
            }
        }
        return rows[left.count][right.count]
    }
}
