//! What other servers answer who are asked for media: two parts, the first one JSON that says
//! nothing yet, the second one the file or where it is ([spec]). It is read as it comes, piece by
//! piece: only the heads are ever held.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1mediadownloadmediaid

/// Bytes of the longest boundary ([RFC 2046](https://www.rfc-editor.org/rfc/rfc2046#section-5.1)).
const MAX_BOUNDARY_BYTES: usize = 70;
/// Bytes of what may stand before the second part, and of that part's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Why an answer cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// Its type is not `multipart/mixed` with a boundary.
    #[error("it is not multipart/mixed with a boundary")]
    Type,
    /// What stands before the file is too long.
    #[error("what stands before the file is too long")]
    TooLong,
    /// It ends before its last boundary.
    #[error("it ends too early")]
    Incomplete,
}

/// What the second part says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    /// The type of the file.
    pub content_type: Option<String>,
    /// Its `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// Where the file is, if it is not in the part.
    pub location: Option<String>,
}

/// A piece of the second part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Its head. It comes first, and once.
    Head(PartHead),
    /// Some bytes of it.
    Bytes(Vec<u8>),
    /// There is no more.
    End,
}

/// Where reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first boundary.
    Preamble,
    /// In the first part.
    FirstPart,
    /// In the head of the second one.
    Head,
    /// In its bytes.
    Bytes,
    /// Behind it.
    End,
}

/// An answer that is being read.
#[derive(Clone, Debug)]
pub struct Multipart {
    /// What stands before each part and behind the last one.
    delimiter: Vec<u8>,
    place: Place,
    /// What has come and was not taken.
    buffer: Vec<u8>,
}

impl Multipart {
    /// Begins to read an answer of this `Content-Type`.
    ///
    /// # Errors
    ///
    /// [`MultipartError::Type`]
    pub fn of(content_type: &str) -> Result<Self, MultipartError> {
        let boundary = boundary(content_type).ok_or(MultipartError::Type)?;
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        // The first boundary may stand at the very beginning, without a line before it.
        Ok(Self { delimiter, place: Place::Preamble, buffer: b"\r\n".to_vec() })
    }

    /// Takes what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.place != Place::End {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next piece; none: more has to come.
    ///
    /// # Errors
    ///
    /// [`MultipartError::TooLong`]
    pub fn next_piece(&mut self) -> Result<Option<Piece>, MultipartError> {
        loop {
            match self.place {
                Place::Preamble | Place::FirstPart => match self.find_delimiter() {
                    Some(at) => {
                        self.buffer.drain(..at + self.delimiter.len());
                        self.place = match self.place {
                            Place::Preamble => Place::FirstPart,
                            _ => Place::Head,
                        };
                    }
                    None => return self.wait_for_head(),
                },
                Place::Head => match head_end(&self.buffer) {
                    Some(end) => {
                        let head: Vec<u8> = self.buffer.drain(..end).collect();
                        self.place = Place::Bytes;
                        return Ok(Some(Piece::Head(read_head(&head))));
                    }
                    None => return self.wait_for_head(),
                },
                Place::Bytes => return Ok(self.next_bytes()),
                Place::End => return Ok(Some(Piece::End)),
            }
        }
    }

    /// Nothing more comes.
    ///
    /// # Errors
    ///
    /// [`MultipartError::Incomplete`], where more should have.
    pub fn finish(&self) -> Result<(), MultipartError> {
        match self.place {
            Place::End => Ok(()),
            _ => Err(MultipartError::Incomplete),
        }
    }

    fn wait_for_head(&self) -> Result<Option<Piece>, MultipartError> {
        match self.buffer.len() > MAX_HEAD_BYTES {
            true => Err(MultipartError::TooLong),
            false => Ok(None),
        }
    }

    /// The bytes that are certainly of the part: not those which may be the beginning of what
    /// stands behind it.
    fn next_bytes(&mut self) -> Option<Piece> {
        let end = self.find_delimiter();
        let certain = end.unwrap_or_else(|| self.buffer.len().saturating_sub(self.kept()));
        if certain > 0 {
            let rest = self.buffer.split_off(certain);
            return Some(Piece::Bytes(std::mem::replace(&mut self.buffer, rest)));
        }
        end?;
        self.place = Place::End;
        self.buffer.clear();
        Some(Piece::End)
    }

    /// How many bytes at the end may be the beginning of a delimiter.
    fn kept(&self) -> usize {
        let longest = self.delimiter.len().saturating_sub(1).min(self.buffer.len());
        let is_beginning = |length: &usize| {
            let end = self.buffer.len().saturating_sub(*length);
            self.buffer.get(end..).is_some_and(|it| self.delimiter.starts_with(it))
        };
        (1..=longest).rev().find(is_beginning).unwrap_or_default()
    }

    fn find_delimiter(&self) -> Option<usize> {
        let mut from = 0;
        loop {
            let rest = self.buffer.get(from..)?;
            let at = from + rest.iter().position(|it| *it == b'\r')?;
            if self.buffer.get(at..)?.starts_with(&self.delimiter) {
                return Some(at);
            }
            from = at + 1;
        }
    }
}

/// The boundary that a `Content-Type` says.
fn boundary(content_type: &str) -> Option<&str> {
    let (essence, parameters) = content_type.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|it| {
        let (name, value) = it.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    let is_boundary = |it: u8| it.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&it);
    let fits = (1..=MAX_BOUNDARY_BYTES).contains(&boundary.len());
    (fits && boundary.bytes().all(is_boundary)).then_some(boundary)
}

/// Where the head of a part ends: behind its first line that is empty. The first of all is what is
/// left of the boundary's.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut line_begins = 0;
    let mut is_first = true;
    for (at, _) in bytes.iter().enumerate().filter(|(_, it)| **it == b'\n') {
        let line = bytes.get(line_begins..at).unwrap_or_default();
        if !is_first && line.trim_ascii().is_empty() {
            return Some(at + 1);
        }
        (line_begins, is_first) = (at + 1, false);
    }
    None
}

/// What a head says. A line that is no text says nothing.
fn read_head(bytes: &[u8]) -> PartHead {
    let mut head = PartHead::default();
    for line in bytes.split(|it| *it == b'\n') {
        let Some((name, value)) = std::str::from_utf8(line).ok().and_then(|it| it.split_once(':'))
        else {
            continue;
        };
        let field = match name.trim().to_ascii_lowercase().as_str() {
            "content-type" => &mut head.content_type,
            "content-disposition" => &mut head.content_disposition,
            "location" => &mut head.location,
            _ => continue,
        };
        *field = Some(value.trim().to_owned());
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (PartHead, Vec<u8>);

    /// Reads a body that comes in pieces of so many bytes.
    fn read(body: &[u8], size: usize) -> Result<Read, MultipartError> {
        let mut multipart = Multipart::of("multipart/mixed; boundary=abcdef")?;
        let (mut head, mut bytes) = (None, Vec::new());
        for chunk in body.chunks(size) {
            multipart.push(chunk);
            while let Some(piece) = multipart.next_piece()? {
                match piece {
                    Piece::Head(it) => head = Some(it),
                    Piece::Bytes(it) => bytes.extend(it),
                    Piece::End => break,
                }
            }
        }
        multipart.finish()?;
        Ok((head.unwrap(), bytes))
    }

    fn head(kind: Option<&str>, disposition: Option<&str>) -> PartHead {
        let owned = |it: Option<&str>| it.map(ToOwned::to_owned);
        PartHead {
            content_type: owned(kind),
            content_disposition: owned(disposition),
            location: None,
        }
    }

    #[test]
    fn what_servers_answer_is_read_however_it_comes() {
        let cases: [(&[u8], Read); 7] = [
            (
                b"\r\n--abcdef\r\ncontent-type: application/json\r\n\r\n{}\r\n--abcdef\r\n\
                  CONTENT-TYPE: text/plain\r\nContent-Disposition: inline; filename=a\r\n\r\n\
                  some plain text\r\n--abcdef--",
                (head(Some("text/plain"), Some("inline; filename=a")), b"some plain text".to_vec()),
            ),
            (
                b"--abcdef\r\n\r\n{}\r\n--abcdef\r\n\r\nsome plain text\r\n--abcdef--",
                (head(None, None), b"some plain text".to_vec()),
            ),
            (
                b"foo--abcdef\r\n--abcdef  \r\n\r\n{}\r\n--abcdef\n\nx\r\n--abcdef",
                (head(None, None), b"x".to_vec()),
            ),
            (
                b"--abcdef\ncontent-type: application/json\n\n{}\r\n--abcdef\n\
                  content-type: image/png  \n\n\r\n--abcde\r\r\n--abcdeg\r\n--abcdef--\r\nmore",
                (head(Some("image/png"), None), b"\r\n--abcde\r\r\n--abcdeg".to_vec()),
            ),
            (
                b"--abcdef\r\n\r\n{}\r\n--abcdef\r\n\r\n\r\n--abcdef--",
                (head(None, None), Vec::new()),
            ),
            (
                b"--abcdef\r\n\r\n{}\r\n--abcdef\r\nX: \xff\xfe\r\n\r\n\xff\xfe\0\r\n--abcdef--",
                (head(None, None), b"\xff\xfe\0".to_vec()),
            ),
            (
                b"--abcdef\r\n\r\n{}\r\n--abcdef\r\nLocation: https://a.example/b\r\n\r\n\r\n--abcdef--",
                (
                    PartHead {
                        location: Some("https://a.example/b".to_owned()),
                        ..PartHead::default()
                    },
                    Vec::new(),
                ),
            ),
        ];
        for (body, expected) in cases {
            for size in [1, 2, 3, 7, 64, body.len()] {
                let found = read(body, size).unwrap();
                let shown = String::from_utf8_lossy(body);
                assert_eq!(found, expected, "{shown:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_incomplete() {
        let whole = b"--abcdef\r\n\r\n{}\r\n--abcdef\r\n\r\nsome text\r\n--abcdef";
        assert!(read(whole, 5).is_ok());
        for end in 1..whole.len() {
            let cut = read(&whole[..end], 5).unwrap_err();
            assert_eq!(cut, MultipartError::Incomplete, "{end} bytes");
        }
    }

    #[test]
    fn what_stands_before_the_file_is_bounded() {
        let long = vec![b'x'; MAX_HEAD_BYTES + 1];
        let bodies = [
            long.clone(),
            [b"--abcdef\r\n\r\n", &*long].concat(),
            [b"--abcdef\r\n\r\n{}\r\n--abcdef\r\nA: ", &*long].concat(),
        ];
        for body in bodies {
            assert_eq!(read(&body, 1_000).unwrap_err(), MultipartError::TooLong);
        }
        let mut multipart = Multipart::of("multipart/mixed; boundary=abcdef").unwrap();
        multipart.push(b"--abcdef\r\n\r\n{}\r\n--abcdef\r\n\r\n");
        assert!(matches!(multipart.next_piece(), Ok(Some(Piece::Head(_)))));
        for _ in 0..100 {
            multipart.push(&long);
            while let Some(Piece::Bytes(_)) = multipart.next_piece().unwrap() {}
            assert!(multipart.buffer.len() < 64, "nothing of the file is held");
        }
    }

    #[test]
    fn which_boundary_a_type_says() {
        let longest = "x".repeat(MAX_BOUNDARY_BYTES);
        let cases = [
            ("multipart/mixed; boundary=abc".to_owned(), Some("abc")),
            ("Multipart/Mixed;charset=x; Boundary=\"a b\"".to_owned(), Some("a b")),
            (format!("multipart/mixed; boundary={longest}"), Some(&*longest)),
            (format!("multipart/mixed; boundary={longest}x"), None),
            ("multipart/mixed; boundary=".to_owned(), None),
            ("multipart/mixed; boundary=a\u{e9}".to_owned(), None),
            ("multipart/form-data; boundary=abc".to_owned(), None),
            ("multipart/mixed".to_owned(), None),
            ("image/png".to_owned(), None),
        ];
        for (content_type, expected) in cases {
            assert_eq!(boundary(&content_type), expected, "{content_type}");
        }
    }
}
