/// A page that is put together so that no value can become markup: ``text(_:)`` is the only way for one to get in.
struct HTMLText {
    /// Cells, and whether the row is a bad one.
    typealias Row = (cells: [String], isBad: Bool)

    private(set) var html = ""

    /// Markup of the page's own.
    mutating func markup(_ text: StaticString) { self.html += "\(text)" }

    /// Any text, as text. It may stand between tags, and in an attribute's double quotes. Controls, and what turns the direction of
    /// writing round, are replaced.
    mutating func text(_ text: some StringProtocol) {
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": self.html += "&amp;"
            case "<": self.html += "&lt;"
            case ">": self.html += "&gt;"
            case "\"": self.html += "&quot;"
            case "'": self.html += "&#39;"
            case "\u{202A}"..."\u{202E}", "\u{2066}"..."\u{2069}", "\u{200E}", "\u{200F}": self.html += "\u{FFFD}"
            case let control where control.value < 0x20 || (0x7F...0x9F).contains(control.value):
                self.html += "\u{FFFD}"
            default: self.html.unicodeScalars.append(scalar)
            }
        }
    }

    /// A table; nothing where there are no rows.
    mutating func table(_ title: StaticString, _ columns: [StaticString], _ rows: [Row]) {
        guard !rows.isEmpty else { return }
        self.markup("<section><h2>")
        self.markup(title)
        self.markup("</h2><table><thead><tr>")
        for column in columns {
            self.markup("<th>")
            self.markup(column)
            self.markup("</th>")
        }
        self.markup("</tr></thead><tbody>\n")
        for row in rows {
            row.isBad ? self.markup("<tr class=\"bad\">") : self.markup("<tr>")
            for cell in row.cells {
                self.markup("<td>")
                self.text(cell)
                self.markup("</td>")
            }
            self.markup("</tr>\n")
        }
        self.markup("</tbody></table></section>\n")
    }
}
