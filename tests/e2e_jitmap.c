/* SPDX-License-Identifier: MIT
 *
 * Names of Java's compiled methods in stacks, from the map that the JVM writes for perf(1).
 */
#include <criterion/criterion.h>
#include <unistd.h>

#include "tests/e2e.h"

TestSuite(e2e_jitmap, .fini = e2e_done);

Test(e2e_jitmap, names_java_methods_while_the_map_is_there)
{
	static const char starts[] =
	    "[.processes[].sites[] | select(.kind == \"create\") | any(.frames[]; "
	    ".module == null and .function == \"void java.lang.Thread.start()\")] | any";
	static const char forget[] = "sh -c rm${IFS}/tmp/perf-$(ls${IFS}%d/t|tr${IFS}-dc${IFS}0-9).map";

	e2e_needs(access("/usr/bin/javac", X_OK) == 0, "needs javac");
	e2e_write("A.java", "public class A {\n"
	                    "  public static void main(String[] a) throws Exception {\n"
	                    "    Thread t = new Thread(() -> {});\n"
	                    "    t.start();\n"
	                    "    t.join();\n"
	                    "  }\n"
	                    "}\n");
	e2e_status(0, "javac -d %d %d/A.java");
	e2e_status(0, "@@ run -q -o %d/t/%p.pwt -- java -Xcomp -XX:+UnlockDiagnosticVMOptions "
	              "-XX:+DumpPerfMapAtExit -cp %d A");
	e2e_true(starts);
	e2e_status(0, forget);
	e2e_reread();
	e2e_true("[.processes[].sites[].frames[] | select(.module == null)] | length > 0 and all(.function "
	         "== null)");
}
