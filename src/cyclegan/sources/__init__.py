"""Where raw pictures come from. Each source fills a folder with trainA/, trainB/, testA/ and testB/."""
