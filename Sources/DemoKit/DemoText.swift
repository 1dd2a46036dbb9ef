/// The colours of the demo's text.
struct DemoColours: Sendable {
    var isOn: Bool

    func good(_ text: String) -> String { isOn ? "\u{1B}[32m\(text)\u{1B}[0m" : text }
    func bad(_ text: String) -> String { isOn ? "\u{1B}[31m\(text)\u{1B}[0m" : text }
    func strong(_ text: String) -> String { isOn ? "\u{1B}[1m\(text)\u{1B}[0m" : text }
    func faint(_ text: String) -> String { isOn ? "\u{1B}[2m\(text)\u{1B}[0m" : text }
}

/// A table with columns as wide as their widest cell.
struct TextTable: Sendable {
    struct Cell: Sendable {
        enum Tone { case plain, good, bad }
        var text: String
        var tone: Tone = .plain
    }

    enum Alignment { case left, right }

    var headings: [(String, Alignment)]
    var rows: [[Cell]] = []

    func text(_ colours: DemoColours) -> String {
        let widths: [Int] = headings.indices.map { column in
            rows.reduce(headings[column].0.count) { max($0, $1[column].text.count) }
        }
        func line(_ cells: [Cell], _ paint: (Cell, String) -> String) -> String {
            var parts: [String] = []
            for (column, cell) in cells.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.text.count)
                let shown = paint(cell, cell.text)
                parts.append(headings[column].1 == .left ? shown + padding : padding + shown)
            }
            var result = "  " + parts.joined(separator: "  ")
            while result.hasSuffix(" ") { result.removeLast() }
            return result + "\n"
        }
        var result = line(headings.map { Cell(text: $0.0) }) { colours.strong($1) }
        for row in rows {
            result += line(row) { cell, text in
                switch cell.tone {
                case .plain: text
                case .good: colours.good(text)
                case .bad: colours.bad(text)
                }
            }
        }
        return result
    }
}

extension Duration {
    /// As in `12.3`.
    var milliseconds: String {
        let (seconds, attoseconds) = components
        let tenths = seconds * 10_000 + (attoseconds + 50_000_000_000_000) / 100_000_000_000_000
        return "\(tenths / 10).\(tenths % 10)"
    }
}
