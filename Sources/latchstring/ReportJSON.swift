import Admin
import Foundation

/// How commands and the admin port write their reports as JSON: one line, keys in order.
enum ReportJSON {
    static func line(_ report: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(report), as: UTF8.self) + "\n"
    }
}

extension AdminAnswer {
    init(_ report: some Encodable) {
        if let line = try? ReportJSON.line(report) {
            self.init(json: line)
        } else {
            self = .failure(500, "the answer can't be written as JSON")
        }
    }
}
