/* SPDX-License-Identifier: MIT
 *
 * The files that go into an HTML report as they are.
 */
	.macro	ASSET name, file
	.globl	pinw_html_\name, pinw_html_\name\()_end
pinw_html_\name:
	.incbin	"\file"
pinw_html_\name\()_end:
	.byte	0
	.endm

	.section .rodata
	ASSET	style, "reports/html/page.css"
	ASSET	script, "reports/html/page.js"
	ASSET	chart_style, "reports/html/vendor/uPlot.min.css"
	ASSET	chart_script, "reports/html/vendor/uPlot.iife.min.js"

	.section .note.GNU-stack, "", @progbits
