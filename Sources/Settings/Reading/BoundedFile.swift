internal import Foundation

/// Reads whole files up to a size, without ever reading more.
enum BoundedFile {
    struct Failure: Error {
        var reason: String
        var remedy: String?
    }

    static func read(_ path: String, maximumBytes: Int) throws(Failure) -> Data {
        if let problem = FileChecks.problemReading(path) {
            throw Failure(reason: "cannot read the file: \(problem.reason)", remedy: problem.remedy)
        }
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw Failure(reason: "cannot open the file", remedy: nil)
        }
        defer { try? handle.close() }
        do {
            var data = Data()
            while let part = try handle.read(upToCount: maximumBytes + 1 - data.count), !part.isEmpty {
                data.append(part)
                guard data.count <= maximumBytes else {
                    throw Failure(
                        reason: "the file is larger than \(maximumBytes >> 10) KiB",
                        remedy: "Is this the right file? Configuration files are small.")
                }
            }
            return data
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(reason: "cannot read the file: \(error)", remedy: nil)
        }
    }
}
