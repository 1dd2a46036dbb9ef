import Settings

/// One thing that was checked.
struct CheckLine: Equatable, Sendable {
    enum Outcome: String, Sendable {
        case ok
        /// It works, and the operator should look at it.
        case warn
        case fail = "FAIL"
    }

    var outcome: Outcome
    /// Where in the configuration file the thing is named.
    var location: SourceLocation?
    var text: String
    /// What to do, in full sentences.
    var remedy: String?
}

/// Collects what was checked, and prints it as it comes.
public final class CheckReport {
    private(set) var lines: [CheckLine] = []
    private let colours: Bool
    private let print: (String) -> Void

    /// - Parameters:
    ///   - colours: whether the outcomes are coloured.
    ///   - print: gets each line, with its end.
    public init(colours: Bool, print: @escaping (String) -> Void) {
        self.colours = colours
        self.print = print
    }

    func ok(_ location: SourceLocation?, _ text: String) {
        self.add(CheckLine(outcome: .ok, location: location, text: text, remedy: nil))
    }

    func warn(_ location: SourceLocation?, _ text: String, remedy: String?) {
        self.add(CheckLine(outcome: .warn, location: location, text: text, remedy: remedy))
    }

    func fail(_ location: SourceLocation?, _ text: String, remedy: String?) {
        self.add(CheckLine(outcome: .fail, location: location, text: text, remedy: remedy))
    }

    func add(_ line: CheckLine) {
        self.lines.append(line)
        self.print(self.rendered(line))
    }

    /// How many things are wrong.
    public var failures: Int { self.lines.count { $0.outcome == .fail } }
    var warnings: Int { self.lines.count { $0.outcome == .warn } }

    /// The last line: what it all comes to.
    func finish() {
        let passed = self.lines.count - self.failures - self.warnings
        let verdict = self.failures == 0 ? "Nothing is wrong" : "This configuration will not work as it is"
        let warnings = "\(self.warnings) warning\(self.warnings == 1 ? "" : "s")"
        let failures = "\(self.failures) problem\(self.failures == 1 ? "" : "s")"
        self.print("\(verdict): \(passed) ok, \(warnings), \(failures).\n")
    }

    /// `ok    edge.yaml:12:5: …` in one line.
    private func rendered(_ line: CheckLine) -> String {
        let word = line.outcome.rawValue
        let padding = String(repeating: " ", count: 6 - word.count)
        let place = line.location.map { "\($0): " } ?? ""
        let remedy = line.remedy.map { ". \($0)" } ?? ""
        // Text from certificates and peers must not end the line or reach the terminal as control characters.
        let text = Self.printable("\(place)\(line.text)\(remedy)")
        guard self.colours else { return "\(word)\(padding)\(text)\n" }
        let colour: String
        switch line.outcome {
        case .ok: colour = "32"
        case .warn: colour = "33"
        case .fail: colour = "1;31"
        }
        return "\u{1B}[\(colour)m\(word)\u{1B}[0m\(padding)\(text)\n"
    }

    private static func printable(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            let isControl: Bool = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
            result.append(isControl ? " " : scalar)
        }
        return String(result)
    }
}
