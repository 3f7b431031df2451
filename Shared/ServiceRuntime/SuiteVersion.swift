/// What every service says of itself in its health and its document.
package let suiteVersion = "0.1.0"
