/// One value of the exposition, taken apart again: what pages and reports of this process are made of.
public struct MetricSample: Sendable, Equatable {
    public var name: String
    public var labels: [String: String]
    public var value: Double

    public init(name: String, labels: [String: String], value: Double) {
        self.name = name
        self.labels = labels
        self.value = value
    }

    /// Every finite value; of a histogram its `_bucket`, `_sum` and `_count`.
    public static func all(in exposition: String) -> [MetricSample] {
        exposition.utf8.split(separator: UInt8(ascii: "\n")).compactMap { MetricSample(line: $0) }
    }

    /// `name{label="value",…} 1`; nil for comments and for what is no finite number.
    init?(line: Substring.UTF8View) {
        guard line.first != UInt8(ascii: "#"), let space = line.lastIndex(of: UInt8(ascii: " ")),
            let value = Double(String(decoding: line[line.index(after: space)...], as: UTF8.self)), value.isFinite
        else { return nil }
        self.value = value
        let head = line[..<space]
        let brace = head.firstIndex(of: UInt8(ascii: "{"))
        self.name = String(decoding: head[..<(brace ?? head.endIndex)], as: UTF8.self)
        self.labels = [:]
        guard let brace else { return }
        var rest = head[head.index(after: brace)...]
        while let equals = rest.firstIndex(of: UInt8(ascii: "=")) {
            let label = String(decoding: rest[..<equals], as: UTF8.self)
            rest = rest[rest.index(after: equals)...]
            guard rest.popFirst() == UInt8(ascii: "\"") else { return nil }
            var text: [UInt8] = []
            while let byte = rest.popFirst(), byte != UInt8(ascii: "\"") {
                guard byte == UInt8(ascii: "\\") else {
                    text.append(byte)
                    continue
                }
                guard let escaped = rest.popFirst() else { return nil }
                text.append(escaped == UInt8(ascii: "n") ? 0x0A : escaped)
            }
            self.labels[label] = String(decoding: text, as: UTF8.self)
            if rest.first == UInt8(ascii: ",") { rest.removeFirst() }
        }
    }
}
